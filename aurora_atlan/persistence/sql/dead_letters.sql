-- name: page
-- Jobs that could not be decided, the newest first, or those before one; see migration 0008 for its index.
SELECT job_id, event_id, user_id, quantity, reason, queue_number, accepted_at, at, entry_number
  FROM booking_ledger
 WHERE kind = 'failed'
   AND (at, event_id, entry_number)
       < (coalesce(:before_at::timestamptz, 'infinity'), :before_event_id::bigint, :before_entry_number::bigint)
 ORDER BY at DESC, event_id DESC, entry_number DESC
 LIMIT :limit
