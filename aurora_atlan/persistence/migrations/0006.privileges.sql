-- What the service's and the readers' role may do. The ledger and the audit log only ever grow.
-- depends: 0005.administration

-- Whoever migrates acts for aurora_migrator, so that another login may do so the next time.
GRANT aurora_migrator TO CURRENT_USER;
GRANT USAGE, CREATE ON SCHEMA public TO aurora_migrator;
ALTER TABLE users OWNER TO aurora_migrator;
ALTER TABLE refresh_tokens OWNER TO aurora_migrator;
ALTER TABLE events OWNER TO aurora_migrator;
ALTER TABLE event_inventory OWNER TO aurora_migrator;
ALTER TABLE event_impressions OWNER TO aurora_migrator;
ALTER TABLE bookings OWNER TO aurora_migrator;
ALTER TABLE booking_ledger OWNER TO aurora_migrator;
ALTER TABLE outbox OWNER TO aurora_migrator;
ALTER TABLE audit_log OWNER TO aurora_migrator;
ALTER TABLE installation OWNER TO aurora_migrator;
ALTER FUNCTION refuse_change() OWNER TO aurora_migrator;

-- What has been applied: the service looks before it thinks of migrating; a migrator writes it down.
GRANT SELECT ON _yoyo_migration TO aurora_app, aurora_reader;
GRANT ALL ON _yoyo_migration, _yoyo_log, _yoyo_version, yoyo_lock TO aurora_migrator;

GRANT SELECT, INSERT, UPDATE, DELETE ON users, refresh_tokens, events, event_inventory, event_impressions, bookings, outbox
    TO aurora_app;
GRANT SELECT, INSERT ON booking_ledger, audit_log TO aurora_app;
GRANT SELECT, UPDATE (paused) ON installation TO aurora_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO aurora_app;

GRANT SELECT (id, name, email, role, created_at) ON users TO aurora_reader;
GRANT SELECT ON events, event_inventory, event_impressions, bookings, booking_ledger TO aurora_reader;
