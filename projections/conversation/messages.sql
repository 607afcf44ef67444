-- Messages by their ids, as they were at $3, as far as the projection has come.
SELECT (SELECT x.position FROM public.erased AS x) AS erased, e.position, m.hidden, m.rating, m.comment_at
FROM unnest($2::uuid[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT e.* FROM fold.event AS e
    WHERE e.owner_id = $1 AND e.id = asked.id AND e.kind = 'message.appended'
      AND e.position <= least($3, (SELECT p.position FROM conversation.progress AS p))
    LIMIT 1
) AS e
LEFT JOIN LATERAL (
    SELECT m.hidden, m.rating, m.comment_at FROM conversation.message AS m
    WHERE m.owner_id = $1 AND m.conversation_id = e.stream_id AND m.segment = e.segment AND m.depth = e.depth
      AND m.position <= $3
    ORDER BY m.position DESC LIMIT 1
) AS m ON true
