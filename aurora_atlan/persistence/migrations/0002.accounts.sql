-- People and their refresh tokens.
-- depends: 0001.roles

CREATE TABLE users (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    -- canonical form: NFC, case-folded, the domain in IDNA
    email            text        NOT NULL UNIQUE CHECK (char_length(email) BETWEEN 3 AND 254),
    -- argon2id in PHC string format; an account with none cannot log in
    password_hash    text,
    role             text        NOT NULL DEFAULT 'USER' CHECK (role IN ('USER', 'ADMIN', 'OPS')),
    -- raised to revoke every access token issued before
    token_version    integer     NOT NULL DEFAULT 1 CHECK (token_version > 0),
    token_changed_at timestamptz NOT NULL DEFAULT now(),
    created_at       timestamptz NOT NULL DEFAULT now()
);

-- One indexed look per second finds whose tokens changed.
CREATE INDEX users_token_changed_at ON users (token_changed_at);

CREATE TABLE refresh_tokens (
    -- SHA-256 of the opaque token; the token itself is never stored
    token_hash bytea       PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    user_id    bigint      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- all tokens that one login led to; reuse of a spent one revokes the family
    family     uuid        NOT NULL,
    issued_at  timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    revoked_at timestamptz
);

CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
