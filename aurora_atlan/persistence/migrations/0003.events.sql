-- What is shown of an event, and apart from it the one narrow row that a sale locks.
-- depends: 0002.accounts

CREATE TABLE events (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    venue      text        NOT NULL CHECK (char_length(venue) BETWEEN 1 AND 200),
    time       timestamptz NOT NULL,
    version    integer     NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Locked by every deciding transaction. It holds all that a decision needs, and it is not the parent of
-- any foreign key: FOR UPDATE on a parent row would block every insert that references it.
CREATE TABLE event_inventory (
    event_id          bigint  PRIMARY KEY REFERENCES events (id),
    capacity          integer NOT NULL CHECK (capacity BETWEEN 0 AND 10000000),
    sold              integer NOT NULL DEFAULT 0,
    -- confirmed bookings one user may hold
    cap_per_user      integer NOT NULL DEFAULT 1 CHECK (cap_per_user BETWEEN 1 AND 100),
    opens_at          timestamptz,
    closes_at         timestamptz,
    gone              boolean NOT NULL DEFAULT false,
    paused            boolean NOT NULL DEFAULT false,
    -- the highest queue number decided so far; never falls
    last_queue_number bigint  NOT NULL DEFAULT 0 CHECK (last_queue_number >= 0),
    -- the ledger's last entry number and hash
    last_entry        bigint  NOT NULL DEFAULT 0 CHECK (last_entry >= 0),
    ledger_head       bytea   NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(ledger_head) = 32),
    -- the process that decides for this event, until when, and the fence: a batch of an older epoch is refused
    owner             bigint,
    epoch             bigint  NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    lease_until       timestamptz,
    CONSTRAINT event_inventory_never_oversold CHECK (sold BETWEEN 0 AND capacity),
    CONSTRAINT event_inventory_window CHECK (opens_at IS NULL OR closes_at IS NULL OR opens_at < closes_at)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

-- Page views, flushed in batches: a view never touches the sale's row.
CREATE TABLE event_impressions (
    event_id    bigint PRIMARY KEY REFERENCES events (id),
    impressions bigint NOT NULL DEFAULT 0 CHECK (impressions >= 0)
) WITH (fillfactor = 50);
