-- name: claim_relay
-- One relay per database: true when this session is it.
SELECT pg_try_advisory_lock(:key)

-- name: waiting
-- The oldest outcomes not yet told, per event in entry order.
SELECT entry.event_id, entry.entry_number, entry.kind, entry.job_id, entry.booking_id, entry.user_id, entry.quantity,
       entry.reason, entry.queue_number, entry.at
  FROM outbox JOIN booking_ledger AS entry USING (event_id, entry_number)
 WHERE outbox.event_id <> ALL (:but::bigint[])
 ORDER BY outbox.event_id, outbox.entry_number
 LIMIT :limit

-- name: pass_on_oldest
-- Move as many as these, the oldest of each event first, to the webhooks that want them: all of it or nothing.
-- Without a webhook the ledger is not looked at.
WITH moved AS (
    DELETE FROM outbox
     USING (SELECT event_id, entry_number FROM outbox ORDER BY event_id, entry_number LIMIT :limit) AS oldest
     WHERE outbox.event_id = oldest.event_id AND outbox.entry_number = oldest.entry_number
    RETURNING outbox.event_id, outbox.entry_number
), copied AS (
    INSERT INTO webhook_deliveries (webhook_id, event_id, entry_number)
    SELECT webhook.id, entry.event_id, entry.entry_number
      FROM moved
      JOIN booking_ledger AS entry USING (event_id, entry_number)
      JOIN webhooks AS webhook ON webhook.enabled AND 'booking.' || entry.kind = ANY (webhook.types)
     WHERE EXISTS (SELECT FROM webhooks WHERE enabled)
)
SELECT count(*) FROM moved

-- name: pass_on!
-- Move what has been told here to the webhooks that want it: all of it or nothing.
WITH moved AS (
    DELETE FROM outbox
     USING unnest(:event_ids::bigint[], :entry_numbers::bigint[]) AS told (event_id, entry_number)
     WHERE outbox.event_id = told.event_id AND outbox.entry_number = told.entry_number
    RETURNING outbox.event_id, outbox.entry_number
)
INSERT INTO webhook_deliveries (webhook_id, event_id, entry_number)
SELECT webhook.id, entry.event_id, entry.entry_number
  FROM moved
  JOIN booking_ledger AS entry USING (event_id, entry_number)
  JOIN webhooks AS webhook ON webhook.enabled AND 'booking.' || entry.kind = ANY (webhook.types)
 WHERE EXISTS (SELECT FROM webhooks WHERE enabled)
