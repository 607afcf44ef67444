-- Wrapped subject keys, in a schema of their own: back it up short and apart, for a restore must never bring a key back.

CREATE SCHEMA vault;

CREATE TABLE vault.subject_key (
    subject_id uuid     NOT NULL,
    generation integer  NOT NULL CHECK (generation > 0),
    -- The epoch key that wraps it; epoch keys lie outside the database.
    epoch      integer  NOT NULL CHECK (epoch > 0),
    commitment bytea    NOT NULL CHECK (octet_length(commitment) = 32),
    -- nonce ‖ XChaCha20-Poly1305(key); null once the key was destroyed.
    wrapped    bytea    CHECK (octet_length(wrapped) = 72),
    -- What goes on from the key before: those of tokens and of command digests, sealed by this one. Null for the first.
    kept       bytea    CHECK (octet_length(kept) = 144),
    PRIMARY KEY (subject_id, generation)
);
