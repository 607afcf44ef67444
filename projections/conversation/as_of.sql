-- Conversations and branches as they were once the log had come to a position (`at`). Where nothing happened since, the row is
-- at hand; else it is that of the last mark before, and at most 64 events on top.

-- The present is read by functions of the same shape that look no further than the rows at hand: a plan that also knows the
-- way to the past takes as long to begin as a page takes to read.

CREATE FUNCTION conversation_now(whose uuid, which uuid, at bigint) RETURNS SETOF conversation
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT c.* FROM conversation AS c WHERE c.owner_id = whose AND c.id = which;
END;

CREATE FUNCTION branches_now(whose uuid, which uuid, wanted integer, at bigint) RETURNS SETOF branch
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT b.*
    FROM (
        SELECT c.branches FROM conversation AS c WHERE c.owner_id = whose AND c.id = which LIMIT 1
    ) AS its
    CROSS JOIN LATERAL unnest(ARRAY(
        SELECT generate_series(coalesce(wanted, 1), least(coalesce(wanted, its.branches), its.branches)))) AS n
    CROSS JOIN LATERAL (
        SELECT b.* FROM branch AS b
        WHERE b.owner_id = whose AND b.conversation_id = which AND b.number = n
        ORDER BY b.block DESC LIMIT 1
    ) AS b;
END;

CREATE FUNCTION tip_now(whose uuid, which uuid, named integer, at bigint)
RETURNS TABLE (conversation_id uuid, segment integer, depth integer)
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT CASE WHEN b.tip_segment IS NULL THEN c.from_id ELSE which END, coalesce(b.tip_segment, c.from_segment),
        coalesce(b.tip_depth, c.from_depth)
    FROM (
        SELECT b.* FROM branch AS b WHERE b.owner_id = whose AND b.conversation_id = which AND b.number = named
        ORDER BY b.block DESC LIMIT 1
    ) AS b
    LEFT JOIN LATERAL (
        SELECT c.* FROM conversation AS c WHERE c.owner_id = whose AND c.id = which AND b.tip_segment IS NULL LIMIT 1
    ) AS c ON true;
END;

CREATE FUNCTION conversation_at(whose uuid, which uuid, at bigint) RETURNS SETOF conversation
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT c.* FROM conversation AS c WHERE c.owner_id = whose AND c.id = which AND c.position <= at
    UNION ALL
    SELECT
        coalesce(was.created_at, born.created_at),
        greatest(was.updated_at, now.updated_at),
        coalesce(now.position, was.position),
        coalesce(was.message_count, 0) + coalesce(now.message_count, 0),
        least(coalesce(was.tokens_in, 0) + coalesce(now.tokens_in, 0), 9007199254740991)::bigint,
        least(coalesce(was.tokens_out, 0) + coalesce(now.tokens_out, 0), 9007199254740991)::bigint,
        least(coalesce(was.cache_reads, 0) + coalesce(now.cache_reads, 0), 9007199254740991)::bigint,
        least(coalesce(was.cache_writes, 0) + coalesce(now.cache_writes, 0), 9007199254740991)::bigint,
        least(coalesce(was.size_bytes, 0) + coalesce(now.size_bytes, 0), 9007199254740991)::bigint,
        CASE WHEN now.titled IS NULL THEN was.title_at ELSE nullif(now.titled[2], 0) END,
        whose,
        which,
        coalesce(was.from_id, (born.body #>> '{from,conversation}')::uuid),
        coalesce(was.from_segment, (born.body #>> '{from,at,segment}')::int),
        coalesce(was.from_depth, (born.body #>> '{from,at,depth}')::int),
        coalesce(now.version, was.version),
        greatest(was.branches, now.branches),
        coalesce(now.preferred[2], was.preferred, 1)::int,
        coalesce(now.favorited % 2 = 1, was.favorited, false),
        coalesce(now.archived % 2 = 1, was.archived, false),
        coalesce(now.deleted % 2 = 1, was.deleted, false),
        CASE WHEN now.tagged_by IS NULL THEN coalesce(was.tags, '{}')
             ELSE retagged(coalesce(was.tags, '{}'), whose, which, coalesce(was.version, 0),
                 now.version) END,
        CASE WHEN now.model_by IS NULL THEN was.model
             ELSE (SELECT e.body ->> 'model' FROM event AS e WHERE e.position = now.model_by) END,
        CASE WHEN now.provider_by IS NULL THEN was.provider
             ELSE (SELECT e.body ->> 'provider' FROM event AS e WHERE e.position = now.provider_by) END,
        coalesce(was.source, born.body ->> 'source'),
        CASE WHEN now.cost_usd IS NULL THEN was.cost_usd
             ELSE least(coalesce(was.cost_usd, 0) + now.cost_usd, 1000000000000000) END
    FROM (
        SELECT c.position FROM conversation AS c WHERE c.owner_id = whose AND c.id = which AND c.position > at
        LIMIT 1
    ) AS later
    LEFT JOIN LATERAL (
        SELECT k.* FROM conversation_mark AS k
        WHERE k.owner_id = whose AND k.id = which AND k.position <= at
        ORDER BY k.position DESC LIMIT 1
    ) AS was ON true
    CROSS JOIN LATERAL (
        SELECT max(a.position) AS position, max(a.version) AS version, max(a.occurred_at) AS updated_at,
            max(a.titled) AS titled, max(a.favorited) AS favorited, max(a.archived) AS archived,
            max(a.deleted) AS deleted, max(a.preferred) AS preferred, max(a.model_by) AS model_by,
            max(a.provider_by) AS provider_by, max(a.tagged_by) AS tagged_by, max(a.branches) AS branches,
            count(a.segment) AS message_count,
            sum((a.usage ->> 'input')::bigint) AS tokens_in,
            sum((a.usage ->> 'output')::bigint) AS tokens_out,
            sum((a.usage ->> 'cache_read')::bigint) AS cache_reads,
            coalesce(sum((a.usage ->> 'cache_write_5m')::bigint), 0)
                + coalesce(sum((a.usage ->> 'cache_write_1h')::bigint), 0) AS cache_writes,
            sum((a.body ->> 'bytes')::bigint) AS size_bytes,
            sum(a.cost_usd) AS cost_usd
        FROM (
            SELECT * FROM act AS a
            WHERE a.owner_id = whose AND a.conversation_id = which AND a.version > coalesce(was.version, 0)
              AND a.version <= coalesce(was.version, 0) + 64 AND a.position <= at
            ORDER BY a.version LIMIT 64
        ) AS a
    ) AS now
    LEFT JOIN LATERAL (
        SELECT e.occurred_at AS created_at, e.body FROM event AS e
        WHERE e.owner_id = whose AND e.stream_id = which AND e.version = 1 AND was.id IS NULL LIMIT 1
    ) AS born ON true
    WHERE coalesce(now.version, was.version) IS NOT NULL;
END;

-- All branches, or the one of a number. (Of an array the planner expects ten elements, of a series a thousand rows.)
CREATE FUNCTION branches_at(whose uuid, which uuid, wanted integer, at bigint) RETURNS SETOF branch
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT b.*
    FROM (
        SELECT c.position FROM conversation AS c WHERE c.owner_id = whose AND c.id = which AND c.position <= at LIMIT 1
    ) AS still
    CROSS JOIN LATERAL branches_now(whose, which, wanted, at) AS b
    UNION ALL
    SELECT
        coalesce(was.created_at, born.created_at),
        CASE WHEN now.named IS NULL THEN was.name_at ELSE nullif(now.named[2], 0) END,
        whose,
        which,
        n,
        coalesce(now.block, was.block),
        (CASE WHEN now.tip IS NULL THEN was.tip_segment ELSE nullif(now.tip[2], 0) END)::int,
        (CASE WHEN now.tip IS NULL THEN was.tip_depth ELSE nullif(now.tip[3], 0) END)::int,
        coalesce(was.fork_segment, born.fork_segment),
        coalesce(was.fork_depth, born.fork_depth),
        CASE WHEN now.named IS NULL THEN was.token
             ELSE (SELECT decode(e.body ->> 'token', 'hex') FROM event AS e WHERE e.position = now.named[2]) END,
        coalesce(now.abandoned % 2 = 1, was.abandoned, false),
        (CASE WHEN now.own_cost_usd IS NULL THEN was.own_cost_usd
             ELSE least(coalesce(was.own_cost_usd, 0) + now.own_cost_usd, 1000000000000000) END)::usd
    FROM (
        SELECT c.branches FROM conversation AS c WHERE c.owner_id = whose AND c.id = which AND c.position > at LIMIT 1
    ) AS later
    LEFT JOIN LATERAL (
        SELECT k.version, k.version / 64 AS block FROM conversation_mark AS k
        WHERE k.owner_id = whose AND k.id = which AND k.position <= at
        ORDER BY k.position DESC LIMIT 1
    ) AS mark ON true
    CROSS JOIN LATERAL unnest(ARRAY(
        SELECT generate_series(coalesce(wanted, 1), least(coalesce(wanted, later.branches), later.branches)))) AS n
    LEFT JOIN LATERAL (
        SELECT a.number, a.block, min(a.position) AS born_at, max(a.tip) AS tip, max(a.named) AS named,
            max(a.abandoned) AS abandoned, sum(a.cost_usd) AS own_cost_usd
        FROM branch_act AS a
        WHERE a.owner_id = whose AND a.conversation_id = which AND a.version > coalesce(mark.version, 0)
          AND a.version <= coalesce(mark.version, 0) + 64 AND a.position <= at
          AND (wanted IS NULL OR a.number = wanted)
        GROUP BY a.number, a.block
    ) AS now ON now.number = n
    LEFT JOIN LATERAL (
        SELECT b.* FROM branch AS b
        WHERE b.owner_id = whose AND b.conversation_id = which AND b.number = n AND b.block <= mark.block
        ORDER BY b.block DESC LIMIT 1
    ) AS was ON true
    LEFT JOIN LATERAL (
        SELECT f.* FROM branch_birth AS f WHERE f.position = now.born_at AND was.number IS NULL LIMIT 1
    ) AS born ON true
    WHERE was.number IS NOT NULL OR now.number IS NOT NULL;
END;

-- The newest message on a branch, which is of another conversation when this one goes on from there and nothing was said on
-- it yet. A row without a segment: an empty branch.
CREATE FUNCTION tip_at(whose uuid, which uuid, wanted integer, at bigint)
RETURNS TABLE (conversation_id uuid, segment integer, depth integer)
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT CASE WHEN b.tip_segment IS NULL THEN c.from_id ELSE which END, coalesce(b.tip_segment, c.from_segment),
        coalesce(b.tip_depth, c.from_depth)
    FROM branches_at(whose, which, wanted, at) AS b
    LEFT JOIN LATERAL (
        SELECT c.* FROM conversation AS c WHERE c.owner_id = whose AND c.id = which AND b.tip_segment IS NULL LIMIT 1
    ) AS c ON true;
END;

-- Where a segment forks off; no row when it starts at the root.
CREATE FUNCTION above(whose uuid, which uuid, number integer)
RETURNS TABLE (conversation_id uuid, segment integer, depth integer)
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT CASE WHEN s.fork_segment > 0 THEN which ELSE c.from_id END,
        CASE WHEN s.fork_segment > 0 THEN s.fork_segment ELSE c.from_segment END,
        CASE WHEN s.fork_segment > 0 THEN s.fork_depth ELSE c.from_depth END
    FROM (
        SELECT s.fork_segment, s.fork_depth FROM segment AS s
        WHERE s.owner_id = whose AND s.conversation_id = which AND s.number = above.number AND s.fork_depth > 0 LIMIT 1
    ) AS s
    LEFT JOIN LATERAL (
        SELECT c.* FROM conversation AS c WHERE c.owner_id = whose AND c.id = which AND s.fork_segment = 0 LIMIT 1
    ) AS c ON true;
END;
