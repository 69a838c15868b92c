-- name: claim_relay
-- One relay per database: true when this session is it.
SELECT pg_try_advisory_lock(:key)

-- name: waiting
-- The oldest outcomes not yet told, per event in entry order.
SELECT entry.event_id, entry.entry_number, entry.kind, entry.job_id, entry.booking_id, entry.user_id, entry.quantity,
       entry.reason, entry.queue_number, entry.at
  FROM outbox JOIN booking_ledger AS entry USING (event_id, entry_number)
 ORDER BY outbox.event_id, outbox.entry_number
 LIMIT :limit

-- name: drop!
-- As many as these, the oldest of each event first, whatever they say.
DELETE FROM outbox
 USING (SELECT event_id, entry_number FROM outbox ORDER BY event_id, entry_number LIMIT :limit) AS oldest
 WHERE outbox.event_id = oldest.event_id AND outbox.entry_number = oldest.entry_number

-- name: forget!
-- What has been told.
DELETE FROM outbox
 USING unnest(:event_ids::bigint[], :entry_numbers::bigint[]) AS told (event_id, entry_number)
 WHERE outbox.event_id = told.event_id AND outbox.entry_number = told.entry_number
