-- name: add!
-- Store the hash of a refresh token.
INSERT INTO refresh_tokens (token_hash, user_id, family, expires_at)
VALUES (:token_hash, :user_id, :family, :expires_at)

-- name: forget_expired!
-- Remove a user's expired tokens, some at a time. Until then a spent one tells of its reuse.
DELETE FROM refresh_tokens
 WHERE token_hash IN (SELECT token_hash FROM refresh_tokens WHERE user_id = :user_id AND expires_at <= now() LIMIT 100)

-- name: owner
SELECT user_id FROM refresh_tokens WHERE token_hash = :token_hash

-- name: spend
-- Use a token up, once.
UPDATE refresh_tokens
   SET used_at = now()
 WHERE token_hash = :token_hash AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()
RETURNING family

-- name: revoke_family_if_spent!
-- A token that comes a second time was stolen, or stolen from: end all that its login led to.
UPDATE refresh_tokens AS member
   SET revoked_at = now()
  FROM refresh_tokens AS reused
 WHERE reused.token_hash = :token_hash AND reused.used_at IS NOT NULL
   AND member.family = reused.family AND member.revoked_at IS NULL

-- name: revoke_all!
UPDATE refresh_tokens SET revoked_at = now() WHERE user_id = :user_id AND revoked_at IS NULL
