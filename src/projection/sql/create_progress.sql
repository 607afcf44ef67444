-- Kept inside the schema of its projection, so that rows and progress move, swap and vanish together.
CREATE TABLE progress (
    -- All events up to here are folded.
    position    bigint  NOT NULL DEFAULT 0,
    -- There is one row.
    single      boolean NOT NULL DEFAULT true UNIQUE CHECK (single),
    -- What made these rows: the digest of the folder, and its fold, by which every server goes on until a rebuild.
    fingerprint bytea   NOT NULL CHECK (octet_length(fingerprint) = 32),
    apply       text    NOT NULL,
    -- Why the fold stands still at the position, if it does.
    error       text
) WITH (fillfactor = 10)
