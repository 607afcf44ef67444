-- What the whole path of each branch costs as of $4; no row while no cost on it is known. Every segment that the branches
-- pass through is summed up once, depth by depth, however many of them share it.
WITH RECURSIVE given AS MATERIALIZED (
    SELECT $2::uuid[] AS ids, $3::int[] AS numbers, $4::bigint AS at
),
lineage AS (
    SELECT asked.conversation_id, asked.number, coalesce(t.conversation_id, asked.conversation_id) AS stream_id,
        t.segment, t.depth AS last
    FROM given AS g
    CROSS JOIN LATERAL unnest(g.ids, g.numbers) AS asked (conversation_id, number)
    CROSS JOIN LATERAL (
        SELECT * FROM conversation.tip_at($1, asked.conversation_id, asked.number, g.at) AS t LIMIT 1
    ) AS t
    WHERE t.segment IS NOT NULL
    UNION ALL
    SELECT l.conversation_id, l.number, up.conversation_id, up.segment, up.depth
    FROM lineage AS l
    CROSS JOIN LATERAL conversation.above($1, l.stream_id, l.segment) AS up
),
passed AS (
    SELECT stream_id, segment, max(last) AS last FROM lineage GROUP BY stream_id, segment
),
running AS (
    SELECT p.stream_id, p.segment, e.depth,
        sum(round((e.body ->> 'cost_usd')::numeric, 12))
            OVER (PARTITION BY p.stream_id, p.segment ORDER BY e.depth) AS cost_usd
    FROM passed AS p
    CROSS JOIN LATERAL (
        SELECT e.depth, e.body FROM fold.event AS e
        WHERE e.owner_id = $1 AND e.stream_id = p.stream_id AND e.segment = p.segment AND e.depth <= p.last
        OFFSET 0
    ) AS e
)
SELECT l.conversation_id, l.number, trim_scale(least(sum(r.cost_usd), 1000000000000000)) AS cost_usd
FROM lineage AS l
JOIN running AS r ON r.stream_id = l.stream_id AND r.segment = l.segment AND r.depth = l.last
WHERE r.cost_usd IS NOT NULL
GROUP BY l.conversation_id, l.number
