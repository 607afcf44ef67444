-- Goes on after a page of a branch (`page`): its events, and the first part of their words.
SELECT page.erased, page.total, page.low, page.high, page.hidden, page.rating, page.comment_at, e.position, e.recorded_at,
    e.occurred_at, e.owner_id, e.id, e.stream_id, e.command_id, e.actor_id, e.correlation_id, e.causation_id, e.version,
    e.segment, e.depth, e.kind_version, e.command_nth, e.kind, e.body, e.command_digest, e.words_digest, e.leaf, e.reduced,
    w.part, w.subject_id, w.generation, w.nonce, w.ciphertext
FROM page
LEFT JOIN LATERAL (SELECT e.* FROM fold.event AS e WHERE e.position = page.position LIMIT 1) AS e ON true
LEFT JOIN LATERAL (SELECT w.* FROM words AS w WHERE w.position = page.position AND w.part = 0 LIMIT 1) AS w ON true
ORDER BY e.depth
