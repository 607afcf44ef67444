-- Every event that took words away from some owners, and which: of an owner, of a conversation up to then, about one message, or of some
-- kinds in some ranges.
SELECT e.owner_id, e.stream_id, e.version, e.kind, (e.body ->> 'message')::uuid AS message,
    CASE e.kind WHEN 'retention.applied' THEN e.body -> 'words' END AS lapsed
FROM event AS e
WHERE e.kind IN ('account.forget_requested', 'account.forget_cancelled', 'account.forget_started', 'account.forgotten',
        'message.forgotten', 'conversation.forgotten', 'conversation.expired', 'retention.applied')
  AND e.kind IN ('account.forget_started', 'message.forgotten', 'conversation.forgotten', 'conversation.expired', 'retention.applied')
  AND e.owner_id = ANY ($1)
