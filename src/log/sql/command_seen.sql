-- What a command did when it was first carried out: where it begins, when, the version of each stream before, and the
-- id of its first event. A repeat may name another stream than the first time, and has no version of that.
SELECT f.position, f.recorded_at, ARRAY(
    SELECT coalesce((
        SELECT min(e.version) - 1 FROM event AS e
        WHERE e.position BETWEEN f.position AND f.position + $4 - 1 AND e.stream_id = t.stream
    ), 0)
    FROM unnest($3) AS t (stream)
), f.id
FROM event AS f WHERE f.owner_id = $1 AND f.command_id = $2 AND f.command_nth = 0
