-- The log: one table of facts, one of words, and what names them. This and the keys are all that cannot be rebuilt.

CREATE TABLE ledger (
    id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- One ledger a database.
    single boolean NOT NULL UNIQUE DEFAULT true CHECK (single),
    -- What checkpoints call this log (C2SP tlog-checkpoint, "origin").
    origin text NOT NULL CHECK (char_length(origin) BETWEEN 1 AND 200)
);
INSERT INTO ledger (id, origin) SELECT id, 'convoledger/' || id FROM (SELECT gen_random_uuid() AS id) AS made;

-- A point-in-time restore rewinds the log and would give positions out again: it starts another history, and cursors
-- and checkpoints of the lost one are refused.
CREATE TABLE history (
    since bigint PRIMARY KEY,
    id    uuid NOT NULL UNIQUE DEFAULT gen_random_uuid()
);
INSERT INTO history (since) VALUES (0);

CREATE TABLE event (
    position       bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL,
    occurred_at    timestamptz NOT NULL,
    owner_id       uuid        NOT NULL,
    id             uuid        NOT NULL,
    stream_id      uuid        NOT NULL,
    command_id     uuid        NOT NULL,
    actor_id       uuid        NOT NULL,
    -- Null where they would say nothing: an act that belongs to no longer story, or has no cause in the log.
    correlation_id uuid,
    causation_id   uuid,
    version        integer     NOT NULL,
    -- Where a message stands in the tree of its conversation.
    segment        integer,
    depth          integer,
    kind_version   smallint    NOT NULL,
    command_nth    smallint    NOT NULL,
    kind           text        NOT NULL,
    body           jsonb       NOT NULL,
    -- Keyed BLAKE3 of the command, on its first event, when its caller named it: a repeat must say the same.
    command_digest bytea,
    -- One entry a part of words: the part's number, then BLAKE3 over its sealed form. Kept when the words are pruned.
    words_digest   bytea,
    -- RFC 6962 leaf hash (SHA-256) over the leaf record: all of the above is in it.
    leaf           bytea       NOT NULL,

    CONSTRAINT event_pkey PRIMARY KEY (position),
    CONSTRAINT event_version UNIQUE (owner_id, stream_id, version),
    CONSTRAINT event_id UNIQUE (owner_id, id),
    CONSTRAINT numbers_positive CHECK (least(position, version, segment, depth) > 0),
    CONSTRAINT place_whole CHECK ((segment IS NULL) = (depth IS NULL)),
    CONSTRAINT kind_length CHECK (char_length(kind) BETWEEN 1 AND 64),
    CONSTRAINT body_length CHECK (pg_column_size(body) <= 65536),
    CONSTRAINT command_digest_length CHECK (octet_length(command_digest) = 16),
    CONSTRAINT words_digest_length CHECK (octet_length(words_digest) BETWEEN 33 AND 33 * 16 AND octet_length(words_digest) % 33 = 0),
    CONSTRAINT leaf_length CHECK (octet_length(leaf) = 32)
);
-- A reader of one owner's events pages by this.
CREATE INDEX event_owner ON event (owner_id, position);
-- A command's events are written together, so its first one speaks for it.
CREATE UNIQUE INDEX event_command ON event (owner_id, command_id) WHERE command_nth = 0;
-- The tree's referee: two messages never stand in one place.
CREATE UNIQUE INDEX event_place ON event (owner_id, stream_id, segment, depth) WHERE segment IS NOT NULL;

CREATE TABLE words (
    position   bigint   NOT NULL,
    owner_id   uuid     NOT NULL,
    subject_id uuid     NOT NULL,
    generation integer  NOT NULL,
    part       smallint NOT NULL,
    nonce      bytea    NOT NULL,
    ciphertext bytea    NOT NULL,

    CONSTRAINT words_pkey PRIMARY KEY (position, part),
    CONSTRAINT part_small CHECK (part BETWEEN 0 AND 15),
    CONSTRAINT nonce_length CHECK (octet_length(nonce) = 24),
    CONSTRAINT ciphertext_length CHECK (octet_length(ciphertext) BETWEEN 17 AND 16777216)
);
-- Ciphertext does not compress.
ALTER TABLE words ALTER COLUMN ciphertext SET STORAGE EXTERNAL;

-- Append-only is the database's business, whoever asks.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the log is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', HINT = 'Append an event that says what changed.';
END;
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- Words may go (retention, erasure: the eraser's role alone may DELETE), but never change.
CREATE TRIGGER never_changed BEFORE UPDATE OR TRUNCATE ON words
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
