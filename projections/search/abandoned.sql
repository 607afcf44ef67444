-- Which of these messages ($2, $3, $4) of an owner's ($1) are not on the path of their conversation's preferred branch.
WITH RECURSIVE asked AS (
    SELECT * FROM unnest($2::uuid[], $3::int[], $4::int[]) AS asked (conversation_id, segment, depth)
),
lineage AS (
    SELECT c.conversation_id, b.tip_segment AS segment, b.tip_depth AS last
    FROM (SELECT DISTINCT conversation_id FROM asked) AS c
    CROSS JOIN LATERAL (
        SELECT c.preferred FROM conversation.conversation AS c WHERE c.owner_id = $1 AND c.id = conversation_id LIMIT 1
    ) AS its
    CROSS JOIN LATERAL (
        SELECT b.tip_segment, b.tip_depth FROM conversation.branch AS b
        WHERE b.owner_id = $1 AND b.conversation_id = c.conversation_id AND b.number = its.preferred LIMIT 1
    ) AS b
    WHERE b.tip_segment IS NOT NULL
    UNION ALL
    SELECT l.conversation_id, s.fork_segment, s.fork_depth
    FROM lineage AS l
    CROSS JOIN LATERAL (
        SELECT s.fork_segment, s.fork_depth FROM conversation.segment AS s
        WHERE s.owner_id = $1 AND s.conversation_id = l.conversation_id AND s.number = l.segment LIMIT 1
    ) AS s
    WHERE s.fork_segment > 0
)
SELECT a.conversation_id, a.segment, a.depth
FROM asked AS a
WHERE NOT EXISTS (
    SELECT FROM lineage AS l
    WHERE l.conversation_id = a.conversation_id AND l.segment = a.segment AND l.last >= a.depth
)
