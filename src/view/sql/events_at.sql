-- Events by their positions, and their sealed words, a row a part: all of them, or the first alone when not $3.
SELECT e.position, e.recorded_at, e.occurred_at, e.owner_id, e.id, e.stream_id, e.command_id, e.actor_id, e.correlation_id,
    e.causation_id, e.version, e.segment, e.depth, e.kind_version, e.command_nth, e.kind, e.body, e.command_digest,
    e.words_digest, e.leaf, e.reduced, w.part, w.subject_id, w.generation, w.nonce, w.ciphertext
FROM fold.event AS e
LEFT JOIN LATERAL (SELECT w.* FROM words AS w WHERE w.position = e.position AND ($3 OR w.part = 0) OFFSET 0) AS w ON true
WHERE e.owner_id = $1 AND e.position = ANY ($2)
ORDER BY e.position, w.part
