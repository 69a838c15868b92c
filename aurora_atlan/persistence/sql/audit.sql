-- What the audit reads. All of it runs in one REPEATABLE READ READ ONLY transaction, and only looks.
-- :event_id is one event, or NULL for all of them.

-- name: limits(statement_timeout, idle_timeout)
-- An audit reads everything; the limits of a booking's transaction are not for it. Whole results are
-- read, so plans are chosen for the last row, and no core is taken from a sale by parallel workers.
SELECT set_config('statement_timeout', :statement_timeout, false),
       set_config('idle_in_transaction_session_timeout', :idle_timeout, false),
       set_config('cursor_tuple_fraction', '1.0', false),
       set_config('max_parallel_workers_per_gather', '0', false),
       set_config('work_mem', '64MB', false);

-- name: snapshot_at()
-- The instant of the snapshot.
SELECT now();

-- name: subjects(event_id)
-- Everything that has an event, an inventory row, bookings or a ledger: what each of them says.
WITH booked AS (
    SELECT event_id,
           coalesce(sum(quantity) FILTER (WHERE status = 'confirmed'), 0) AS seats,
           count(*) FILTER (WHERE status = 'confirmed') AS confirmed,
           count(*) FILTER (WHERE status = 'cancelled') AS cancelled
    FROM bookings
    WHERE CAST(:event_id AS bigint) IS NULL OR event_id = :event_id
    GROUP BY event_id
), ledgers AS (
    SELECT event_id, count(*) AS entries
    FROM booking_ledger
    WHERE CAST(:event_id AS bigint) IS NULL OR event_id = :event_id
    GROUP BY event_id
), shown AS (
    SELECT id AS event_id, name
    FROM events
    WHERE CAST(:event_id AS bigint) IS NULL OR id = :event_id
), counted AS (
    SELECT event_id, capacity, sold, last_queue_number, last_entry, ledger_head, bookings
    FROM event_inventory
    WHERE CAST(:event_id AS bigint) IS NULL OR event_id = :event_id
)
SELECT event_id, name,
       capacity, sold, last_queue_number, last_entry, ledger_head, bookings,
       coalesce(seats, 0), coalesce(confirmed, 0), coalesce(cancelled, 0), coalesce(entries, 0)
FROM shown
FULL JOIN counted USING (event_id)
FULL JOIN booked USING (event_id)
FULL JOIN ledgers USING (event_id)
ORDER BY event_id;

-- name: ledger(event_id)
-- The ledger in order, times and job ids in their canonical text (docs/ledger.md).
SELECT event_id, entry_number, kind, CAST(job_id AS text), booking_id, user_id, quantity, reason, queue_number,
       to_char(accepted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       sold_after, capacity_after,
       to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       prev_hash, hash
FROM booking_ledger
WHERE CAST(:event_id AS bigint) IS NULL OR event_id = :event_id
ORDER BY event_id, entry_number;

-- name: bookings_against_ledger(event_id)
-- Bookings that differ from their `confirmed` entry, and each without the other.
SELECT coalesce(entry.event_id, booking.event_id), entry.entry_number,
       CAST(coalesce(entry.job_id, booking.job_id) AS text),
       entry.event_id, entry.booking_id, entry.user_id, entry.quantity, entry.queue_number,
       booking.event_id, booking.id, booking.user_id, booking.quantity, booking.queue_number
FROM (SELECT event_id, entry_number, job_id, booking_id, user_id, quantity, queue_number
      FROM booking_ledger
      WHERE kind = 'confirmed' AND (CAST(:event_id AS bigint) IS NULL OR event_id = :event_id)) AS entry
FULL JOIN (SELECT event_id, id, job_id, user_id, quantity, queue_number
           FROM bookings
           WHERE CAST(:event_id AS bigint) IS NULL OR event_id = :event_id) AS booking
       ON booking.job_id = entry.job_id
WHERE (entry.event_id, entry.booking_id, entry.user_id, entry.quantity, entry.queue_number)
      IS DISTINCT FROM (booking.event_id, booking.id, booking.user_id, booking.quantity, booking.queue_number);

-- name: cancellations_against_ledger(event_id)
-- Cancelled bookings that do not have exactly one `cancelled` entry that says the same, and the reverse.
SELECT coalesce(entry.event_id, booking.event_id), entry.entry_number,
       coalesce(entry.booking_id, booking.id), coalesce(entry.entries, 0), booking.id IS NOT NULL
FROM (SELECT event_id, booking_id, min(entry_number) AS entry_number, count(*) AS entries,
             min(quantity) AS quantity, min(user_id) AS user_id
      FROM booking_ledger
      WHERE kind = 'cancelled' AND booking_id IS NOT NULL
        AND (CAST(:event_id AS bigint) IS NULL OR event_id = :event_id)
      GROUP BY event_id, booking_id) AS entry
FULL JOIN (SELECT event_id, id, quantity, user_id
           FROM bookings
           WHERE status = 'cancelled' AND (CAST(:event_id AS bigint) IS NULL OR event_id = :event_id)) AS booking
       ON booking.id = entry.booking_id AND booking.event_id = entry.event_id
WHERE (entry.entries, entry.quantity, entry.user_id) IS DISTINCT FROM (1, booking.quantity, booking.user_id);

-- name: repeated_outcomes(event_id)
-- Jobs with more than one outcome, and the first and the last of these.
SELECT CAST(job_id AS text), count(*), min(ARRAY[event_id, entry_number]), max(ARRAY[event_id, entry_number])
FROM booking_ledger
WHERE job_id IS NOT NULL AND (CAST(:event_id AS bigint) IS NULL OR event_id = :event_id)
GROUP BY job_id
HAVING count(*) > 1;

-- name: holdings(event_id)
-- Entries that leave a user with more bookings than allowed, or fewer than none, and refusals for having
-- too many that were told to somebody who had fewer.
SELECT event_id, entry_number, kind, reason, user_id, held, cap_per_user
FROM (SELECT event_id, entry_number, kind, reason, user_id,
             sum(CASE kind WHEN 'confirmed' THEN 1 WHEN 'cancelled' THEN -1 ELSE 0 END)
                 OVER (PARTITION BY event_id, user_id ORDER BY entry_number) AS held
      FROM booking_ledger
      WHERE user_id IS NOT NULL
        AND (kind = 'confirmed' OR (kind = 'cancelled' AND booking_id IS NOT NULL)
             OR reason IN ('already_booked', 'limit_reached'))
        AND (CAST(:event_id AS bigint) IS NULL OR event_id = :event_id)) AS holding
JOIN event_inventory USING (event_id)
WHERE held < 0
   OR (kind = 'confirmed' AND held > cap_per_user)
   OR (reason IN ('already_booked', 'limit_reached') AND held < cap_per_user);

-- name: slots(event_id)
-- Confirmed bookings that share a slot with another of the same user, or hold one above the cap.
SELECT event_id, user_id, slot, count(*), min(bookings.id), max(bookings.id), cap_per_user
FROM bookings
JOIN event_inventory USING (event_id)
WHERE status = 'confirmed' AND (CAST(:event_id AS bigint) IS NULL OR event_id = :event_id)
GROUP BY event_id, user_id, slot, cap_per_user
HAVING count(*) > 1 OR slot > cap_per_user;
