-- name: create
-- Add a user; no row when the address is taken. No token was ever voided, so the time of the last change is long ago:
-- whoever looks for changes every second finds no newcomers.
INSERT INTO users (name, email, password_hash, role, token_changed_at)
VALUES (:name, :email, :password_hash, :role, 'epoch')
ON CONFLICT (email) DO NOTHING
RETURNING id, name, email, role, token_version, created_at;

-- name: by_id
-- One user, without secrets.
SELECT id, name, email, role, token_version, created_at
FROM users
WHERE id = :user_id;

-- name: credentials
-- The only query that reads a password hash; for login.
SELECT id, name, email, role, token_version, created_at, password_hash
FROM users
WHERE email = :email;

-- name: replace_password_hash!
-- Exchange a hash for one of the same password made with today's costs, unless the password changed meanwhile.
UPDATE users
SET password_hash = :new_hash
WHERE id = :user_id AND password_hash = :old_hash;

-- name: promote
-- Give a user another role, and note that access tokens issued before speak of the old one.
UPDATE users
SET role = :role, token_version = token_version + 1, token_changed_at = now()
WHERE email = :email
RETURNING id, name, email, role, token_version, created_at;

-- name: create_synthetic
-- Make buyers without a password, for load tests. Nobody can log in as one, or send mail to one (RFC 2606).
INSERT INTO users (name, email, token_changed_at)
SELECT 'Buyer ' || number, 'buyer-' || number || '@' || :batch || '.invalid', 'epoch'::timestamptz
FROM generate_series(:first::integer, :last::integer) AS number
ORDER BY number
RETURNING id;

-- name: add_refresh_token!
-- Store the hash of a refresh token.
INSERT INTO refresh_tokens (token_hash, user_id, family, expires_at)
VALUES (:token_hash, :user_id, :family, :expires_at);
