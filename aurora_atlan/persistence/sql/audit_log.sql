-- name: note!
INSERT INTO audit_log (actor_id, action, subject, ip, request_id, before, after)
VALUES (:actor_id, :action, :subject, :ip::inet, :request_id, :before::jsonb, :after::jsonb)

-- name: page
-- The newest deeds, or those before one.
SELECT id, at, actor_id, action, subject, host(ip), request_id, before, after
  FROM audit_log
 WHERE :before_id::bigint IS NULL OR id < :before_id
 ORDER BY id DESC
 LIMIT :limit
