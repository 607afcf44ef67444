-- Branches as they were at $4.
SELECT b.conversation_id, b.number, b.created_at, b.name_at, b.token, b.tip_segment, b.tip_depth, b.fork_segment,
    b.fork_depth, b.abandoned, trim_scale(b.own_cost_usd) AS own_cost_usd, c.preferred = b.number AS preferred, c.from_id,
    c.from_segment, c.from_depth
FROM unnest($2::uuid[], $3::int[]) AS asked (conversation_id, number)
CROSS JOIN LATERAL conversation.conversation_at($1, asked.conversation_id, $4) AS c
CROSS JOIN LATERAL (
    SELECT b.* FROM conversation.branches_at($1, asked.conversation_id, $4) AS b WHERE b.number = asked.number LIMIT 1
) AS b
