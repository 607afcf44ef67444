SELECT position, recorded_at, occurred_at, owner_id, id, stream_id, command_id, actor_id, correlation_id, causation_id,
    version, segment, depth, kind_version, command_nth, kind, body, command_digest, words_digest, leaf, reduced
FROM event WHERE position > $1 AND position <= $2 ORDER BY position
