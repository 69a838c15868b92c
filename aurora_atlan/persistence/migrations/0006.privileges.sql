-- What the service's and the readers' role may do. The ledger and the audit log only ever grow.
-- depends: 0005.administration

GRANT SELECT, INSERT, UPDATE, DELETE ON users, refresh_tokens, events, event_inventory, event_impressions, bookings, outbox
    TO aurora_app;
GRANT SELECT, INSERT ON booking_ledger, audit_log TO aurora_app;
GRANT SELECT, UPDATE (paused) ON installation TO aurora_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO aurora_app;

GRANT SELECT (id, name, email, role, created_at) ON users TO aurora_reader;
GRANT SELECT ON events, event_inventory, event_impressions, bookings, booking_ledger TO aurora_reader;
