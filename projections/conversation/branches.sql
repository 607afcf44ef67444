-- All branches of conversations as they were at $3.
--
-- What is given goes through a table of one row: so the plan does not depend on it, and is made once.
WITH given AS MATERIALIZED (
    SELECT $2::uuid[] AS ids, $3::bigint AS at
)
SELECT b.conversation_id, b.number, b.created_at, b.name_at, b.token, b.tip_segment, b.tip_depth, b.fork_segment,
    b.fork_depth, b.abandoned, trim_scale(b.own_cost_usd) AS own_cost_usd, c.preferred = b.number AS preferred, c.from_id,
    c.from_segment, c.from_depth
FROM given AS g
CROSS JOIN LATERAL unnest(g.ids) AS asked (id)
CROSS JOIN LATERAL conversation.conversation_at($1, asked.id, g.at) AS c
CROSS JOIN LATERAL conversation.branches_at($1, asked.id, NULL, g.at) AS b
ORDER BY b.conversation_id, b.number
