-- name: share_pause
-- Hold off a pause until this transaction ends, or wait for one that is being written.
SELECT pg_advisory_xact_lock_shared(:key)

-- name: claim_pause
-- Wait until no deciding transaction is left, and hold off new ones until this one ends.
SELECT pg_advisory_xact_lock(:key)

-- name: lock_free_inventories
-- Lock the events' rows, in the order given, leaving out those that somebody else holds. The last column says
-- whether the event may be taken over: nobody's, ours, past its lease, or its owner's process is gone.
SELECT inventory.event_id, inventory.capacity, inventory.sold, inventory.cap_per_user, inventory.opens_at,
       inventory.closes_at, inventory.gone, inventory.paused OR installation.paused, inventory.last_queue_number,
       inventory.last_entry, inventory.ledger_head, inventory.owner, inventory.epoch, inventory.lease_until,
       CASE WHEN inventory.owner IS NULL OR inventory.owner = :owner OR inventory.lease_until < clock_timestamp()
            THEN true
            ELSE NOT EXISTS (SELECT FROM pg_locks
                              WHERE locktype = 'advisory' AND granted AND objsubid = 1
                                AND classid::bigint << 32 | objid::bigint = inventory.owner)
       END
  FROM installation
 CROSS JOIN unnest(:event_ids::bigint[]) AS wanted (event_id)
 CROSS JOIN LATERAL (SELECT * FROM event_inventory WHERE event_id = wanted.event_id
                        FOR UPDATE SKIP LOCKED) AS inventory

-- name: lock_inventory
-- The same for one event, waiting for its row up to the lock timeout.
SELECT inventory.event_id, inventory.capacity, inventory.sold, inventory.cap_per_user, inventory.opens_at,
       inventory.closes_at, inventory.gone, inventory.paused OR installation.paused, inventory.last_queue_number,
       inventory.last_entry, inventory.ledger_head, inventory.owner, inventory.epoch, inventory.lease_until,
       CASE WHEN inventory.owner IS NULL OR inventory.owner = :owner OR inventory.lease_until < clock_timestamp()
            THEN true
            ELSE NOT EXISTS (SELECT FROM pg_locks
                              WHERE locktype = 'advisory' AND granted AND objsubid = 1
                                AND classid::bigint << 32 | objid::bigint = inventory.owner)
       END
  FROM event_inventory AS inventory CROSS JOIN installation
 WHERE inventory.event_id = :event_id
   FOR UPDATE OF inventory

-- name: read
-- What a decision needs, in one round trip. First the time, read after the locks, and as many booking ids as there
-- can be bookings; then the answers that jobs have already; then the slots that their users hold of their events.
-- Each is looked up by itself, through an index (OFFSET 0 keeps it so): before a new table is analysed, and for as long
-- as that plan is remembered, PostgreSQL would rather read all bookings that there are.
SELECT clock_timestamp() AS at, ARRAY(SELECT nextval('bookings_id_seq') FROM generate_series(1, :count)) AS ids,
       NULL::uuid AS job_id, NULL::text AS kind, NULL::text AS reason, NULL::bigint AS booking_id,
       NULL::bigint AS event_id, NULL::bigint AS user_id, NULL::integer AS slot
 UNION ALL
SELECT entry.at, NULL, entry.job_id, entry.kind, entry.reason, entry.booking_id, NULL, NULL, NULL
  FROM unnest(:job_ids::uuid[]) AS wanted (job_id)
 CROSS JOIN LATERAL (SELECT * FROM booking_ledger WHERE job_id = wanted.job_id OFFSET 0) AS entry
 UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, booking.event_id, booking.user_id, booking.slot
  FROM unnest(:event_ids::bigint[], :user_ids::bigint[]) AS wanted (event_id, user_id)
 CROSS JOIN LATERAL (SELECT event_id, user_id, slot FROM bookings
                      WHERE event_id = wanted.event_id AND user_id = wanted.user_id AND status = 'confirmed'
                     OFFSET 0) AS booking

-- name: record!
-- Write what was decided: bookings, ledger, outbox, and the inventory rows they were decided under.
WITH entry AS MATERIALIZED (
    SELECT * FROM json_to_recordset(:entries::json)
        AS new (event_id bigint, entry_number bigint, kind text, job_id uuid, booking_id bigint, user_id bigint,
                quantity integer, reason text, queue_number bigint, accepted_at timestamptz, sold_after integer,
                capacity_after integer, at timestamptz, prev_hash text, hash text, slot integer)
), booked AS (
    INSERT INTO bookings (id, job_id, event_id, user_id, quantity, slot, queue_number, created_at)
    SELECT booking_id, job_id, event_id, user_id, quantity, slot, queue_number, at
      FROM entry WHERE kind = 'confirmed'
), entered AS (
    INSERT INTO booking_ledger
    SELECT event_id, entry_number, kind, job_id, booking_id, user_id, quantity, reason, queue_number, accepted_at,
           sold_after, capacity_after, at, decode(prev_hash, 'hex'), decode(hash, 'hex')
      FROM entry
    RETURNING event_id, entry_number, kind
), told AS (
    INSERT INTO outbox (event_id, entry_number)
    SELECT event_id, entry_number FROM entered WHERE kind IN ('confirmed', 'rejected', 'failed', 'cancelled')
)
UPDATE event_inventory AS inventory
   SET capacity = new.capacity, sold = inventory.sold + new.tickets, bookings = inventory.bookings + new.bookings,
       gone = new.gone, last_queue_number = new.last_queue_number, last_entry = new.last_entry,
       ledger_head = decode(new.ledger_head, 'hex'), owner = new.owner, epoch = new.epoch, lease_until = new.lease_until
  FROM json_to_recordset(:inventories::json)
    AS new (event_id bigint, capacity integer, tickets integer, bookings integer, gone boolean, last_queue_number bigint,
            last_entry bigint, ledger_head text, owner bigint, epoch bigint, lease_until timestamptz)
 WHERE inventory.event_id = new.event_id

-- name: release_leases!
-- Give up the events this process still owns at these epochs; a row that is locked keeps its lease until it ends.
UPDATE event_inventory AS inventory
   SET owner = NULL, lease_until = NULL
  FROM (SELECT held.event_id
          FROM event_inventory AS held
          JOIN unnest(:event_ids::bigint[], :epochs::bigint[]) AS ours (event_id, epoch) USING (event_id, epoch)
         WHERE held.owner = :owner
         ORDER BY held.event_id
           FOR UPDATE OF held SKIP LOCKED) AS free
 WHERE inventory.event_id = free.event_id

-- name: last_queue_numbers
-- Which of these events are there, and where do their queue numbers stand? What is gone takes no new jobs.
SELECT event_id, last_queue_number FROM event_inventory WHERE event_id = ANY(:event_ids) AND NOT gone

-- name: booking
-- One booking; a user's id leaves out everybody else's.
SELECT id, job_id, event_id, user_id, quantity, status, created_at, cancelled_at
  FROM bookings
 WHERE id = :booking_id AND (:user_id::bigint IS NULL OR user_id = :user_id)

-- name: cancel_booking!
-- Mark a confirmed booking cancelled.
UPDATE bookings SET status = 'cancelled', cancelled_at = :at WHERE id = :booking_id AND status = 'confirmed'

-- name: cancel_some
-- Mark up to so many of an event's confirmed bookings cancelled, in the order of the index that finds them.
UPDATE bookings SET status = 'cancelled', cancelled_at = :at
 WHERE id IN (SELECT id FROM bookings
               WHERE event_id = :event_id AND status = 'confirmed'
               ORDER BY user_id, slot
               LIMIT :limit)
RETURNING id, job_id, event_id, user_id, quantity, status, created_at, cancelled_at

-- name: first_outcome
-- The event's oldest ledger entry that answers a job, if any does.
SELECT entry_number FROM booking_ledger
 WHERE event_id = :event_id AND job_id IS NOT NULL
 ORDER BY entry_number
 LIMIT 1

-- name: recorded_job
-- What the ledger knows of a job, with its booking.
SELECT entry.event_id, entry.user_id, entry.quantity, entry.queue_number, entry.accepted_at, entry.kind, entry.reason,
       entry.at, booking.id, booking.status, booking.created_at, booking.cancelled_at
  FROM booking_ledger AS entry
  LEFT JOIN bookings AS booking ON booking.id = entry.booking_id
 WHERE entry.job_id = :job_id

-- name: pause_event!
UPDATE event_inventory SET paused = :paused WHERE event_id = :event_id

-- name: pause_installation!
UPDATE installation SET paused = :paused

-- name: installation_paused
SELECT paused FROM installation

-- name: resumed
-- Those of the events whose decisions are not paused; while all are paused, no event is looked at.
SELECT event_id FROM event_inventory
 WHERE event_id = ANY(:event_ids::bigint[]) AND NOT paused AND NOT (SELECT paused FROM installation)

-- name: installation_key
SELECT key FROM installation

-- name: history
-- A user's bookings, newest first, each with its event.
SELECT booking.id, booking.job_id, booking.event_id, booking.user_id, booking.quantity, booking.status,
       booking.created_at, booking.cancelled_at,
       event.id, event.name, event.venue, event.time, inventory.capacity, inventory.sold,
       coalesce(viewed.impressions, 0), event.version, inventory.cap_per_user, inventory.opens_at,
       inventory.closes_at, event.created_at, event.updated_at
  FROM bookings AS booking
  JOIN events AS event ON event.id = booking.event_id
  JOIN event_inventory AS inventory ON inventory.event_id = booking.event_id
  LEFT JOIN event_impressions AS viewed ON viewed.event_id = booking.event_id
 WHERE booking.user_id = :user_id AND (:before_id::bigint IS NULL OR booking.id < :before_id)
 ORDER BY booking.id DESC
 LIMIT :limit
