-- What the whole path of each branch costs; no row while no cost on it is known. Every segment that the branches pass
-- through is summed up once, depth by depth, however many of them share it.
WITH RECURSIVE lineage AS (
    SELECT b.conversation_id, b.number, b.tip_segment AS segment, b.tip_depth AS last
    FROM unnest($2::uuid[], $3::int[]) AS asked (conversation_id, number)
    JOIN conversation.branch AS b
        ON b.owner_id = $1 AND b.conversation_id = asked.conversation_id AND b.number = asked.number
    WHERE b.tip_segment IS NOT NULL
    UNION ALL
    SELECT l.conversation_id, l.number, s.fork_segment, s.fork_depth
    FROM lineage AS l
    CROSS JOIN LATERAL (
        SELECT s.fork_segment, s.fork_depth FROM conversation.segment AS s
        WHERE s.owner_id = $1 AND s.conversation_id = l.conversation_id AND s.number = l.segment LIMIT 1
    ) AS s
    WHERE s.fork_segment > 0
),
passed AS (
    SELECT conversation_id, segment, max(last) AS last FROM lineage GROUP BY conversation_id, segment
),
running AS (
    SELECT p.conversation_id, p.segment, e.depth,
        sum(round((e.body ->> 'cost_usd')::numeric, 12))
            OVER (PARTITION BY p.conversation_id, p.segment ORDER BY e.depth) AS cost_usd
    FROM passed AS p
    CROSS JOIN LATERAL (
        SELECT e.depth, e.body FROM event AS e
        WHERE e.owner_id = $1 AND e.stream_id = p.conversation_id AND e.segment = p.segment AND e.depth <= p.last
        OFFSET 0
    ) AS e
)
SELECT l.conversation_id, l.number, trim_scale(least(sum(r.cost_usd), 1000000000000000)) AS cost_usd
FROM lineage AS l
JOIN running AS r ON r.conversation_id = l.conversation_id AND r.segment = l.segment AND r.depth = l.last
WHERE r.cost_usd IS NOT NULL
GROUP BY l.conversation_id, l.number
