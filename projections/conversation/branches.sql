SELECT b.conversation_id, b.number, b.created_at, b.name_at, b.token, b.tip_segment, b.tip_depth, b.fork_segment,
    b.fork_depth, trim_scale(b.own_cost_usd) AS own_cost_usd, c.preferred = b.number AS preferred
FROM conversation.branch AS b
JOIN conversation.conversation AS c ON c.owner_id = b.owner_id AND c.id = b.conversation_id
WHERE b.owner_id = $1 AND b.conversation_id = ANY ($2)
ORDER BY b.conversation_id, b.number
