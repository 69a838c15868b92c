-- name: claim_room
-- Whoever adds a webhook counts them first, and nobody else does meanwhile.
SELECT pg_advisory_xact_lock(:key)

-- name: create
-- A webhook, unless there are as many as there may be.
INSERT INTO webhooks (url, types, secret)
SELECT :url, :types, :secret
 WHERE (SELECT count(*) FROM webhooks) < :webhooks_max
RETURNING id, url, types, enabled, created_at, last_success_at, last_error, last_error_at

-- name: all
SELECT id, url, types, enabled, created_at, last_success_at, last_error, last_error_at FROM webhooks ORDER BY id

-- name: lock
SELECT id, url, types, enabled, created_at, last_success_at, last_error, last_error_at
  FROM webhooks
 WHERE id = :webhook_id
   FOR NO KEY UPDATE

-- name: standing
-- A webhook, and how many of its deliveries wait and were given up.
SELECT id, url, types, enabled, created_at, last_success_at, last_error, last_error_at,
       (SELECT count(*) FROM webhook_deliveries WHERE webhook_id = id AND failed_at IS NULL),
       (SELECT count(*) FROM webhook_deliveries WHERE webhook_id = id AND failed_at IS NOT NULL)
  FROM webhooks
 WHERE id = :webhook_id

-- name: given_up
-- What was given up, the latest first.
SELECT event_id, entry_number, attempts, failed_at, last_error
  FROM webhook_deliveries
 WHERE webhook_id = :webhook_id AND failed_at IS NOT NULL
 ORDER BY failed_at DESC
 LIMIT :limit

-- name: set_enabled
UPDATE webhooks SET enabled = :enabled
 WHERE id = :webhook_id
RETURNING id, url, types, enabled, created_at, last_success_at, last_error, last_error_at

-- name: begin_anew!
-- What has failed and waits is tried at once, as if for the first time. What was never tried is due, or being sent.
UPDATE webhook_deliveries SET attempts = 0, failing_since = NULL, next_at = now()
 WHERE webhook_id = :webhook_id AND failed_at IS NULL AND attempts > 0

-- name: rotate
-- Another secret; the one before signs, too, for a while.
UPDATE webhooks
   SET secret = :secret, previous_secret = secret, previous_until = now() + make_interval(secs => :overlap_s)
 WHERE id = :webhook_id
RETURNING previous_until

-- name: queue_test!
-- A test to be sent now, also when one is waiting already: that one becomes it.
INSERT INTO webhook_deliveries (webhook_id, event_id, entry_number)
VALUES (:webhook_id, 0, 1)
ON CONFLICT (webhook_id, event_id, entry_number) DO UPDATE
SET message_id = excluded.message_id, created_at = excluded.created_at, attempts = 0, next_at = now(),
    failing_since = NULL, last_error = NULL, failed_at = NULL

-- name: clear!
-- A part of a webhook's deliveries, few enough for one statement.
DELETE FROM webhook_deliveries
 USING (SELECT event_id, entry_number FROM webhook_deliveries WHERE webhook_id = :webhook_id LIMIT :limit) AS part
 WHERE webhook_id = :webhook_id AND webhook_deliveries.event_id = part.event_id
   AND webhook_deliveries.entry_number = part.entry_number

-- name: delete!
DELETE FROM webhooks WHERE id = :webhook_id
