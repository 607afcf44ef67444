-- Messages by their ids, as they were at $3, as far as the projection has come.
SELECT e.position, e.recorded_at, e.occurred_at, e.owner_id, e.id, e.stream_id, e.command_id, e.actor_id, e.correlation_id,
    e.causation_id, e.version, e.segment, e.depth, e.kind_version, e.command_nth, e.kind, e.body, e.command_digest,
    e.words_digest, e.leaf, e.reduced, m.hidden, m.rating, m.comment_at, w.part, w.subject_id, w.generation, w.nonce,
    w.ciphertext
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
LEFT JOIN LATERAL (SELECT w.* FROM words AS w WHERE w.position = e.position AND w.part = 0 LIMIT 1) AS w ON true
