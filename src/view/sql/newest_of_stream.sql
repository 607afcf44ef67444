-- A stream's newest events up to a position, the newest first, and their sealed words: a row a part. (`position + 0` for the
-- sake of the index by version, as in events_of_stream.sql.)
SELECT e.position, e.recorded_at, e.occurred_at, e.owner_id, e.id, e.stream_id, e.command_id, e.actor_id, e.correlation_id,
    e.causation_id, e.version, e.segment, e.depth, e.kind_version, e.command_nth, e.kind, e.body, e.command_digest,
    e.words_digest, e.leaf, e.reduced, w.part, w.subject_id, w.generation, w.nonce, w.ciphertext
FROM (
    SELECT * FROM fold.event
    WHERE owner_id = $1 AND stream_id = $2 AND ($3::text[] IS NULL OR kind = ANY ($3)) AND position + 0 <= $4
    ORDER BY version DESC LIMIT $5
) AS e
LEFT JOIN LATERAL (SELECT w.* FROM words AS w WHERE w.position = e.position OFFSET 0) AS w ON true
ORDER BY e.position DESC, w.part
