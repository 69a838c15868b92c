-- name: claim
-- Of each enabled webhook that is not busy the event whose oldest delivery is due for longest. That delivery is put
-- off for the time of the claim, so nobody else takes the event; with a crash it is due again after that time.
-- Only the oldest of each event are looked at, by skipping from event to event.
WITH due AS (
    SELECT webhook.id AS webhook_id, oldest.event_id, oldest.entry_number
      FROM webhooks AS webhook
     CROSS JOIN LATERAL (
           WITH RECURSIVE head AS (
               (SELECT event_id, entry_number, next_at
                  FROM webhook_deliveries
                 WHERE webhook_id = webhook.id AND failed_at IS NULL
                 ORDER BY event_id, entry_number
                 LIMIT 1)
               UNION ALL
               SELECT following.event_id, following.entry_number, following.next_at
                 FROM head
                CROSS JOIN LATERAL (
                      SELECT event_id, entry_number, next_at
                        FROM webhook_deliveries
                       WHERE webhook_id = webhook.id AND failed_at IS NULL AND event_id > head.event_id
                       ORDER BY event_id, entry_number
                       LIMIT 1) AS following
           )
           SELECT event_id, entry_number FROM head WHERE next_at <= now() ORDER BY next_at LIMIT 1) AS oldest
     WHERE webhook.enabled AND webhook.id <> ALL (:busy::bigint[])
)
UPDATE webhook_deliveries AS delivery
   SET next_at = now() + make_interval(secs => :claim_s)
  FROM due
 WHERE delivery.webhook_id = due.webhook_id AND delivery.event_id = due.event_id
   AND delivery.entry_number = due.entry_number AND delivery.next_at <= now()
RETURNING delivery.webhook_id, delivery.event_id

-- name: target
-- Where to send and how to sign, while the webhook is enabled.
SELECT url, secret, CASE WHEN previous_until > now() THEN previous_secret END, last_success_at
  FROM webhooks
 WHERE id = :webhook_id AND enabled

-- name: waiting
-- The oldest that wait for one webhook of one event, in the order of the ledger, with what it says.
SELECT delivery.message_id, delivery.entry_number, delivery.created_at, delivery.attempts, delivery.failing_since,
       entry.event_id, entry.entry_number, entry.kind, entry.job_id, entry.booking_id, entry.user_id, entry.quantity,
       entry.reason, entry.queue_number, entry.at
  FROM (SELECT message_id, event_id, entry_number, created_at, attempts, failing_since
          FROM webhook_deliveries
         WHERE webhook_id = :webhook_id AND event_id = :event_id AND failed_at IS NULL
         ORDER BY entry_number
         LIMIT :limit) AS delivery
  LEFT JOIN booking_ledger AS entry USING (event_id, entry_number)
 ORDER BY delivery.entry_number

-- name: delivered!
-- By the message's id, too: a test that was asked for meanwhile is another message in the same place.
DELETE FROM webhook_deliveries
 WHERE webhook_id = :webhook_id AND event_id = :event_id AND entry_number = ANY (:entry_numbers)
   AND message_id = ANY (:message_ids)

-- name: succeeded!
UPDATE webhooks SET last_success_at = now() WHERE id = :webhook_id

-- name: failed!
UPDATE webhook_deliveries
   SET attempts = attempts + 1, last_error = :error, failing_since = coalesce(failing_since, now()),
       next_at = now() + make_interval(secs => :wait_s), failed_at = CASE WHEN :given_up THEN now() END
 WHERE webhook_id = :webhook_id AND event_id = :event_id AND entry_number = :entry_number
   AND message_id = :message_id

-- name: note_error!
UPDATE webhooks SET last_error = :error, last_error_at = now(), enabled = enabled AND NOT :disabled
 WHERE id = :webhook_id

-- name: release!
-- A claim ends: what is oldest now is due at once.
UPDATE webhook_deliveries SET next_at = now()
 WHERE webhook_id = :webhook_id AND event_id = :event_id AND entry_number = :entry_number
   AND message_id = :message_id
