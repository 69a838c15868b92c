-- Who did what, and what the whole installation shares.
-- depends: 0004.bookings

CREATE TABLE audit_log (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    -- null: the command line
    actor_id   bigint,
    action     text        NOT NULL CHECK (char_length(action) BETWEEN 1 AND 100),
    subject    text        NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 200),
    ip         inet,
    request_id text,
    before     jsonb,
    after      jsonb
);

CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE installation (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- makes keyed job ids and signs receipts; shared by all processes, never rotated
    key        bytea   NOT NULL CHECK (octet_length(key) = 32),
    -- the pause of all events
    paused     boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Two version-4 UUIDs: 244 bits of PostgreSQL's strong randomness, without an extension.
INSERT INTO installation (key)
VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
