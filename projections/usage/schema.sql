-- What was used and what did it cost, in every quarter of an hour, by conversation, branch and model?
--
-- Days begin where the asker lives. The offset of every time zone has been a whole number of quarter hours since 1972,
-- so the days of any zone are whole numbers of these rows.
--
-- A sum is null while no message of the row said the number: unknown is not zero, and takes no room. Sums are numeric,
-- which is short where they are small and never overflows: readers cut them off where the API's numbers end.

CREATE TABLE usage (
    -- When the quarter of an hour begins that its messages occurred in.
    quarter         timestamptz NOT NULL,
    branch          integer     NOT NULL CHECK (branch > 0),
    messages        integer     NOT NULL CHECK (messages > 0),
    -- Messages of unknown cost that somebody paid for: those that a model said, or that count tokens.
    unpriced        integer,
    -- Messages that said their latency.
    timed           integer,
    owner_id        uuid        NOT NULL,
    conversation_id uuid        NOT NULL,
    -- As the messages name them; null when they name none.
    model           text,
    provider        text,
    -- Bytes of UTF-8 that were said.
    size_bytes      numeric     NOT NULL,
    tokens_in       numeric,
    tokens_out      numeric,
    cache_reads     numeric,
    cache_writes_5m numeric,
    cache_writes_1h numeric,
    -- A part of tokens_out.
    reasoning       numeric,
    latency_ms      numeric,
    cost_usd        numeric     CHECK (cost_usd >= 0 AND cost_usd < 'Infinity'),
    CONSTRAINT usage_key UNIQUE NULLS NOT DISTINCT (owner_id, quarter, conversation_id, branch, model, provider)
-- Every message updates a row, which no index but the key's is on: with room on the page, in place (HOT).
) WITH (fillfactor = 90);
