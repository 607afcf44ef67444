-- The tree over the log, as C2SP tlog-tiles has it, and the checkpoints that were signed of it. All of it could be made
-- again from the log but the signatures; it is kept append-only so that what was once sealed is not quietly sealed anew.

-- Full tiles alone: what is not full yet is made from the leaves, or from the roots of the level below.
CREATE TABLE tile (
    level  smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    -- From 0.
    index  bigint   NOT NULL CHECK (index >= 0),
    -- 256 hashes: leaves on level 0, above it the roots of full tiles of the level below.
    hashes bytea    NOT NULL CHECK (octet_length(hashes) = 8192),
    -- The hash that this tile is on the level above.
    root   bytea    NOT NULL CHECK (octet_length(root) = 32),
    PRIMARY KEY (level, index)
);
-- Hashes do not compress.
ALTER TABLE tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

CREATE TABLE checkpoint (
    -- One history of the ledger; the note's first line.
    origin    text        NOT NULL CHECK (char_length(origin) BETWEEN 1 AND 300),
    size      bigint      NOT NULL CHECK (size >= 0),
    root      bytea       NOT NULL CHECK (octet_length(root) = 32),
    -- The signed note (C2SP tlog-checkpoint), without cosignatures.
    note      text        NOT NULL CHECK (char_length(note) <= 8192),
    signed_at timestamptz NOT NULL,
    PRIMARY KEY (origin, size)
);

-- What witnesses added to a checkpoint (C2SP tlog-cosignature).
CREATE TABLE cosignature (
    origin  text   NOT NULL,
    size    bigint NOT NULL,
    -- The witness's public key, as notes have it.
    witness text   NOT NULL CHECK (char_length(witness) <= 512),
    -- The line below the note.
    line    text   NOT NULL CHECK (char_length(line) <= 1024),
    PRIMARY KEY (origin, witness, size),
    FOREIGN KEY (origin, size) REFERENCES checkpoint
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tile
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cosignature
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
