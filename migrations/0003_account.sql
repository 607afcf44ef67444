-- Who may call: accounts by a keyed digest of their address, and the hashes of their tokens. Secrets are not events.

CREATE SCHEMA account;

CREATE TABLE account.account (
    id           uuid        PRIMARY KEY,
    -- Keyed BLAKE3 of the normalised address: finds an account, tells no address.
    email_digest bytea       NOT NULL UNIQUE CHECK (octet_length(email_digest) = 32),
    created_at   timestamptz NOT NULL
);

CREATE TABLE account.token (
    -- SHA-256 of the token, which is 256 random bits: no salt is needed, and nothing can be guessed.
    digest     bytea       PRIMARY KEY CHECK (octet_length(digest) = 32),
    account_id uuid        NOT NULL REFERENCES account.account (id),
    name       text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 64),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX token_account ON account.token (account_id);
