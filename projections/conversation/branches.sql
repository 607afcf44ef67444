-- All branches of conversations as they were at $3.
SELECT b.conversation_id, b.number, b.created_at, b.name_at, b.token, b.tip_segment, b.tip_depth, b.fork_segment,
    b.fork_depth, b.abandoned, trim_scale(b.own_cost_usd) AS own_cost_usd, c.preferred = b.number AS preferred, c.from_id,
    c.from_segment, c.from_depth
FROM unnest($2::uuid[]) AS asked (id)
CROSS JOIN LATERAL conversation.conversation_at($1, asked.id, $3) AS c
CROSS JOIN LATERAL conversation.branches_at($1, asked.id, $3) AS b
ORDER BY b.conversation_id, b.number
