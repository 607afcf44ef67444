-- Which of these messages ($2, $3, $4) of an owner's ($1) were not, at $5, on the path of their conversation's preferred
-- branch.
WITH RECURSIVE asked AS (
    SELECT * FROM unnest($2::uuid[], $3::int[], $4::int[]) AS asked (conversation_id, segment, depth)
),
lineage AS (
    SELECT t.conversation_id, t.segment, t.depth AS last
    FROM (SELECT DISTINCT conversation_id FROM asked) AS c
    CROSS JOIN LATERAL (
        SELECT c.preferred FROM conversation.conversation_at($1, c.conversation_id, $5) AS c LIMIT 1
    ) AS its
    CROSS JOIN LATERAL (
        SELECT * FROM conversation.tip_at($1, c.conversation_id, its.preferred, $5) AS t LIMIT 1
    ) AS t
    WHERE t.segment IS NOT NULL
    UNION ALL
    SELECT up.conversation_id, up.segment, up.depth
    FROM lineage AS l
    CROSS JOIN LATERAL conversation.above($1, l.conversation_id, l.segment) AS up
)
SELECT a.conversation_id, a.segment, a.depth
FROM asked AS a
WHERE NOT EXISTS (
    SELECT FROM lineage AS l
    WHERE l.conversation_id = a.conversation_id AND l.segment = a.segment AND l.last >= a.depth
)
