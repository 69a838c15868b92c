-- Who is told of outcomes over HTTP, and what each of them is yet to be told.
-- depends: 0008.dead_letters

CREATE TABLE webhooks (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url             text        NOT NULL CHECK (char_length(url) BETWEEN 1 AND 1000),
    -- of outcomes, such as booking.confirmed
    types           text[]      NOT NULL CHECK (cardinality(types) > 0),
    -- signs what is sent; must be readable, so it is as safe as the database
    secret          bytea       NOT NULL CHECK (octet_length(secret) BETWEEN 24 AND 64),
    -- the one before, which signs, too, until then
    previous_secret bytea,
    previous_until  timestamptz,
    enabled         boolean     NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_success_at timestamptz,
    last_error      text,
    last_error_at   timestamptz,
    CONSTRAINT webhooks_previous_secret CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
);

-- What waits, and what was given up; what was delivered is deleted. A pointer to the ledger's entry, which never
-- changes. Event 0 is none: it stands for a webhook's test.
CREATE TABLE webhook_deliveries (
    webhook_id    bigint      NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id      bigint      NOT NULL CHECK (event_id >= 0),
    entry_number  bigint      NOT NULL CHECK (entry_number > 0),
    -- the same however often it is sent, so that the receiver can tell
    message_id    uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at    timestamptz NOT NULL DEFAULT now(),
    attempts      integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- of the oldest of an event, all that is looked at: nobody sends it before
    next_at       timestamptz NOT NULL DEFAULT now(),
    -- of the first attempt that failed
    failing_since timestamptz,
    last_error    text,
    -- not null: given up
    failed_at     timestamptz,
    PRIMARY KEY (webhook_id, event_id, entry_number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

ALTER TABLE webhooks OWNER TO aurora_migrator;
ALTER TABLE webhook_deliveries OWNER TO aurora_migrator;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks, webhook_deliveries TO aurora_app;
