-- The last position of a conversation before anything happened to it later than $3, in its own time. How late it has become
-- never decreases from mark to mark, so only the block in which the time lies is looked through. Null when it began later.
SELECT max(e.position)
FROM (
    SELECT coalesce((
        SELECT k.version FROM conversation.conversation_mark AS k
        WHERE k.owner_id = $1 AND k.id = $2 AND k.updated_at <= $3 ORDER BY k.position DESC LIMIT 1), 0) AS version
    OFFSET 0
) AS mark
CROSS JOIN LATERAL (
    SELECT e.position, bool_and(e.kind = 'snapshot.thinned' OR e.occurred_at <= $3) OVER (ORDER BY e.version) AS by_then
    FROM fold.event AS e
    WHERE e.owner_id = $1 AND e.stream_id = $2 AND e.version >= mark.version AND e.version <= mark.version + 64
) AS e
WHERE e.by_then
