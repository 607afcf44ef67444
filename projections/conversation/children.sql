-- The messages below each message as of $5, eldest first; below segment 0 are the roots, whose depth says how much lies
-- above them in other conversations. The first child of a message continues its
-- segment, each later one begins a segment that forks off there.
SELECT (SELECT x.position FROM public.erased AS x) AS erased, e.position, m.hidden, m.rating, m.comment_at
FROM unnest($2::uuid[], $3::int[], $4::int[]) AS above (conversation_id, segment, depth)
CROSS JOIN LATERAL (
    SELECT greatest(above.segment, 1) AS segment
    WHERE above.segment > 0 OR above.depth = 0
    UNION ALL
    SELECT s.number FROM conversation.segment AS s
    WHERE s.owner_id = $1 AND s.conversation_id = above.conversation_id AND s.fork_segment = above.segment
      AND s.fork_depth = above.depth
) AS below
CROSS JOIN LATERAL (
    SELECT e.* FROM fold.event AS e
    WHERE e.owner_id = $1 AND e.stream_id = above.conversation_id AND e.segment = below.segment
      AND e.depth = above.depth + 1 AND e.position <= least($5, (SELECT p.position FROM conversation.progress AS p))
    LIMIT 1
) AS e
LEFT JOIN LATERAL (
    SELECT m.hidden, m.rating, m.comment_at FROM conversation.message AS m
    WHERE m.owner_id = $1 AND m.conversation_id = e.stream_id AND m.segment = e.segment AND m.depth = e.depth
      AND m.position <= $5
    ORDER BY m.position DESC LIMIT 1
) AS m ON true
ORDER BY e.position
