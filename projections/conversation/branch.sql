-- Branches as they were at $4.
--
-- What is given goes through a table of one row: so the plan does not depend on it, and is made once.
WITH given AS MATERIALIZED (
    SELECT $2::uuid[] AS ids, $3::int[] AS numbers, $4::bigint AS at
)
SELECT b.conversation_id, b.number, b.created_at, b.name_at, b.token, b.tip_segment, b.tip_depth, b.fork_segment,
    b.fork_depth, b.abandoned, trim_scale(b.own_cost_usd) AS own_cost_usd, c.preferred = b.number AS preferred, c.from_id,
    c.from_segment, c.from_depth
FROM given AS g
CROSS JOIN LATERAL unnest(g.ids, g.numbers) AS asked (conversation_id, number)
CROSS JOIN LATERAL conversation.conversation_at($1, asked.conversation_id, g.at) AS c
CROSS JOIN LATERAL conversation.branches_at($1, asked.conversation_id, asked.number, g.at) AS b
