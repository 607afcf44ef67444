-- Where a stream's events after a position lie in the log. Versions grow as positions do, and have the index; the version at
-- $2 is where to begin when that position is of this stream, as a cursor's is. (No index has `position + 0`: while the log is
-- small, the planner would else rather walk through all of it.)
SELECT (SELECT x.position FROM public.erased AS x) AS erased, ARRAY(
    SELECT position FROM fold.event
    WHERE owner_id = $1 AND stream_id = $6 AND position + 0 > $2 AND position + 0 <= $5 AND ($3::text[] IS NULL OR kind = ANY ($3))
      AND version > coalesce(
          (SELECT at.version FROM fold.event AS at WHERE at.position = $2 AND at.owner_id = $1 AND at.stream_id = $6), 0)
    ORDER BY version LIMIT $4
) AS positions
