-- Conversations, whoever's, that have more than one label, the oldest put there before $1: the next $4 behind the owner $2 and
-- the conversation $3, each with its labels in order.
SELECT s.owner_id, s.conversation_id, array_agg(s.id ORDER BY s.position) AS ids,
    array_agg(s.taken_at ORDER BY s.position) AS taken_at, array_agg(s.trigger ORDER BY s.position) AS triggers
FROM conversation.snapshot AS s
WHERE (s.owner_id, s.conversation_id) > ($2, $3)
  AND NOT EXISTS (
      SELECT FROM conversation.thinned AS t
      WHERE t.owner_id = s.owner_id AND t.conversation_id = s.conversation_id AND t.id = s.id
  )
GROUP BY s.owner_id, s.conversation_id
HAVING count(*) > 1 AND min(s.taken_at) < $1
ORDER BY s.owner_id, s.conversation_id
LIMIT $4
