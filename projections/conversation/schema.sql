-- What does each conversation amount to: its shelf, its totals, its branches, and what became of its messages?
--
-- Words are not copied: where a row shows some, it keeps the position of the event that holds them. Nor are messages:
-- a message stands in the log under its place in the tree (event_place) with all its facts, so reads page there, and
-- a row here says only what the log does not say by itself. A linear conversation costs two rows and a few more for every
-- thousand messages, however long.
--
-- Any moment can be read, not only the newest. What changes with every message is kept as it was at the end of every block
-- of 64 versions of a conversation: what it was in between is the end of the block before, and the few events since. What
-- changes rarely has a row for every change.

-- Money that a provider said. Not a number, and less than nothing, are refused where they are read.
CREATE DOMAIN usd AS numeric CHECK (VALUE >= 0 AND VALUE < 'Infinity');

CREATE TABLE conversation (
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    -- Of the newest event.
    position      bigint      NOT NULL,
    message_count bigint      NOT NULL CHECK (message_count >= 0),
    tokens_in     bigint      NOT NULL CHECK (tokens_in >= 0),
    tokens_out    bigint      NOT NULL CHECK (tokens_out >= 0),
    cache_reads   bigint      NOT NULL CHECK (cache_reads >= 0),
    cache_writes  bigint      NOT NULL CHECK (cache_writes >= 0),
    size_bytes    bigint      NOT NULL CHECK (size_bytes >= 0),
    -- The event that holds the title.
    title_at      bigint,
    owner_id      uuid        NOT NULL,
    id            uuid        NOT NULL,
    -- The conversation that it goes on from, below which message.
    from_id       uuid,
    from_segment  integer,
    from_depth    integer,
    version       integer     NOT NULL CHECK (version > 0),
    -- How many branches it has: they are numbered from 1 on.
    branches      integer     NOT NULL CHECK (branches > 0),
    -- The number of the branch that is shown when none is named.
    preferred     integer     NOT NULL CHECK (preferred > 0),
    favorited     boolean     NOT NULL,
    archived      boolean     NOT NULL,
    deleted       boolean     NOT NULL,
    -- Each tag's token, in hex, with the position of the event that holds its word.
    tags          jsonb       NOT NULL,
    model         text,
    provider      text,
    -- The kind of export that it was imported from.
    source        text,
    -- Null while no message has a known cost: unknown is not zero.
    cost_usd      usd,
    PRIMARY KEY (owner_id, id),
    CHECK (num_nulls(from_id, from_segment, from_depth) IN (0, 3))
-- Every append updates its conversation: with room on the page, and no index on anything that changes, in place (HOT).
) WITH (fillfactor = 80);

-- Each conversation at the end of each of its blocks.
CREATE TABLE conversation_mark (LIKE conversation, PRIMARY KEY (owner_id, id, position));

-- Each branch at the end of each block in which something happened to it; the last of these rows is how it is now.
CREATE TABLE branch (
    created_at      timestamptz NOT NULL,
    -- The event that holds its name; null while it has none.
    name_at         bigint,
    owner_id        uuid        NOT NULL,
    conversation_id uuid        NOT NULL,
    number          integer     NOT NULL CHECK (number > 0),
    block           integer     NOT NULL CHECK (block > 0),
    -- Its newest message; null while it is empty.
    tip_segment     integer,
    tip_depth       integer,
    -- The message below which it began; null for one that began at the root.
    fork_segment    integer,
    fork_depth      integer,
    token           bytea       CHECK (octet_length(token) = 16),
    abandoned       boolean     NOT NULL,
    -- Of the messages that were appended to it.
    own_cost_usd    usd,
    PRIMARY KEY (owner_id, conversation_id, number, block),
    CHECK ((tip_segment IS NULL) = (tip_depth IS NULL) AND (fork_segment IS NULL) = (fork_depth IS NULL)),
    CHECK ((name_at IS NULL) = (token IS NULL))
) WITH (fillfactor = 80);

-- Where segments fork off. The first segment of a conversation that starts at the root goes without a row.
CREATE TABLE segment (
    owner_id        uuid    NOT NULL,
    conversation_id uuid    NOT NULL,
    number          integer NOT NULL CHECK (number > 0),
    -- The message above its first; segment 0 when it starts at the root, or below the message that the conversation goes on
    -- from: the depth is then that of what lies above.
    fork_segment    integer NOT NULL CHECK (fork_segment >= 0),
    fork_depth      integer NOT NULL CHECK (fork_depth >= 0),
    PRIMARY KEY (owner_id, conversation_id, number)
);

-- What was later thought of a message: a row for every time that it changed. A message that nothing was thought of goes
-- without.
CREATE TABLE message (
    owner_id        uuid    NOT NULL,
    conversation_id uuid    NOT NULL,
    segment         integer NOT NULL CHECK (segment > 0),
    depth           integer NOT NULL CHECK (depth > 0),
    -- Of the event that changed it.
    position        bigint  NOT NULL,
    hidden          boolean NOT NULL,
    rating          text    CHECK (rating IN ('up', 'down')),
    -- The event that holds the comment of the rating; null when it came without one.
    comment_at      bigint,
    PRIMARY KEY (owner_id, conversation_id, segment, depth, position)
);

-- Versions that were given a label.
CREATE TABLE snapshot (
    taken_at        timestamptz NOT NULL,
    position        bigint      NOT NULL,
    owner_id        uuid        NOT NULL,
    conversation_id uuid        NOT NULL,
    -- The event that took it.
    id              uuid        NOT NULL,
    -- The version that it labels.
    version         integer     NOT NULL CHECK (version > 0),
    trigger         text        NOT NULL,
    PRIMARY KEY (owner_id, conversation_id, position)
);

-- Labels that were let go.
CREATE TABLE thinned (
    owner_id        uuid   NOT NULL,
    conversation_id uuid   NOT NULL,
    id              uuid   NOT NULL,
    position        bigint NOT NULL,
    PRIMARY KEY (owner_id, conversation_id, id)
);

-- Lets go of all rows of a conversation. The fold calls it when one expired, which is rare: its own plan takes longer to begin
-- with every table that it changes.
CREATE FUNCTION let_go(whose uuid, which uuid) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    DELETE FROM conversation AS c WHERE c.owner_id = whose AND c.id = which;
    DELETE FROM conversation_mark AS c WHERE c.owner_id = whose AND c.id = which;
    DELETE FROM branch AS b WHERE b.owner_id = whose AND b.conversation_id = which;
    DELETE FROM segment AS s WHERE s.owner_id = whose AND s.conversation_id = which;
    DELETE FROM snapshot AS s WHERE s.owner_id = whose AND s.conversation_id = which;
    DELETE FROM thinned AS t WHERE t.owner_id = whose AND t.conversation_id = which;
    DELETE FROM message AS m WHERE m.owner_id = whose AND m.conversation_id = which;
END;
