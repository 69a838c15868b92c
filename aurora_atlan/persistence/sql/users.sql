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

-- name: by_email
-- One user, by an address in canonical form.
SELECT id, name, email, role, token_version, created_at
FROM users
WHERE email = :email;

-- name: credentials
-- The only query that reads a password hash; for login and a change of password.
SELECT id, name, email, role, token_version, created_at, password_hash
FROM users
WHERE email = :email;

-- name: replace_password_hash!
-- Exchange a hash for one of the same password made with today's costs, unless the password changed meanwhile.
UPDATE users
SET password_hash = :new_hash
WHERE id = :user_id AND password_hash = :old_hash;

-- name: lock
-- One user, locked against every change of tokens, password and role. Bookings, which refer to users, do not wait.
SELECT id, name, email, role, token_version, created_at
FROM users
WHERE id = :user_id
FOR NO KEY UPDATE;

-- name: lock_verified
-- The same, unless the password was changed since it was verified. A hash alone may be replaced by one of the same
-- password, a version alone be raised by a logout; a change of password does both.
SELECT id, name, email, role, token_version, created_at
FROM users
WHERE id = :user_id AND (token_version = :token_version OR password_hash = :password_hash)
FOR NO KEY UPDATE;

-- name: void_tokens
-- Void all access tokens issued before.
UPDATE users
SET token_version = token_version + 1, token_changed_at = now()
WHERE id = :user_id
RETURNING token_version;

-- name: change_password
-- Set another password, unless it was changed since the present one was verified, and void all access tokens.
UPDATE users
SET password_hash = :new_hash, token_version = token_version + 1, token_changed_at = now()
WHERE id = :user_id AND (token_version = :token_version OR password_hash = :password_hash)
RETURNING id, name, email, role, token_version, created_at;

-- name: claim_roles!
-- Let one change of roles be made after the other.
SELECT pg_advisory_xact_lock(:key);

-- name: has_other_admin
-- Is there an administrator who can log in, but for this one?
SELECT EXISTS (SELECT FROM users WHERE role = 'ADMIN' AND password_hash IS NOT NULL AND id <> :user_id);

-- name: set_role
-- Give a user another role, and void the access tokens issued before, which speak of the old one.
UPDATE users
SET role = :role, token_version = token_version + 1, token_changed_at = now()
WHERE id = :user_id
RETURNING id, name, email, role, token_version, created_at;

-- name: create_synthetic
-- Make buyers without a password, for load tests. Nobody can log in as one, or send mail to one (RFC 2606).
INSERT INTO users (name, email, token_changed_at)
SELECT 'Buyer ' || number, 'buyer-' || number || '@' || :batch || '.invalid', 'epoch'::timestamptz
FROM generate_series(:first::integer, :last::integer) AS number
ORDER BY number
RETURNING id;
