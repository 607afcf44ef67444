-- Messages by where they stand, as they were at $5, as far as the projection has come.
SELECT (SELECT x.position FROM public.erased AS x) AS erased, e.position, m.hidden, m.rating, m.comment_at
FROM unnest($2::uuid[], $3::int[], $4::int[]) AS asked (conversation_id, segment, depth)
CROSS JOIN LATERAL (
    SELECT e.* FROM fold.event AS e
    WHERE e.owner_id = $1 AND e.stream_id = asked.conversation_id AND e.segment = asked.segment
      AND e.depth = asked.depth AND e.position <= least($5, (SELECT p.position FROM conversation.progress AS p))
    LIMIT 1
) AS e
LEFT JOIN LATERAL (
    SELECT m.hidden, m.rating, m.comment_at FROM conversation.message AS m
    WHERE m.owner_id = $1 AND m.conversation_id = e.stream_id AND m.segment = e.segment AND m.depth = e.depth
      AND m.position <= $5
    ORDER BY m.position DESC LIMIT 1
) AS m ON true
