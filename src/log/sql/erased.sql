-- The newest event that took words away, whatever the search path. The kinds are told as the index event_forgetting tells them.
SELECT coalesce((
    SELECT e.position FROM public.event AS e
    WHERE e.kind IN ('account.forget_requested', 'account.forget_cancelled', 'account.forget_started', 'account.forgotten',
            'message.forgotten', 'conversation.forgotten', 'conversation.expired', 'retention.applied')
      AND e.kind IN ('account.forget_started', 'message.forgotten', 'conversation.forgotten', 'conversation.expired', 'retention.applied')
    ORDER BY e.position DESC LIMIT 1
), 0)
