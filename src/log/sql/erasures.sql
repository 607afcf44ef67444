-- Every event that took words away, and which: of an owner, of a conversation up to then, or about one message.
SELECT e.owner_id, e.stream_id, e.version, e.kind, (e.body ->> 'message')::uuid AS message
FROM event AS e
WHERE e.kind IN ('account.forget_requested', 'account.forget_cancelled', 'account.forget_started', 'account.forgotten',
        'message.forgotten', 'conversation.forgotten')
  AND e.kind IN ('account.forget_started', 'message.forgotten', 'conversation.forgotten')
