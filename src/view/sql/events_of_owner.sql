-- Where an owner's events after a position lie in the log.
SELECT (SELECT x.position FROM public.erased AS x) AS erased, ARRAY(
    SELECT position FROM fold.event
    WHERE owner_id = $1 AND position > $2 AND position <= $5 AND ($3::text[] IS NULL OR kind = ANY ($3))
    ORDER BY position LIMIT $4
) AS positions
