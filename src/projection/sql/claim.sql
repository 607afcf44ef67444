-- Moves progress from $1 to $2, or not at all: no row means that another projector was here. What is counted is counted
-- in the snapshot that the fold reads: a range with a hole is never folded, and `fold.event` has some. $3 is every kind and
-- version that is known, $4 the fingerprint of our own fold: rows that another one made go on by theirs.
WITH moved AS (
    UPDATE progress SET position = $2, error = NULL WHERE position = $1
    RETURNING CASE WHEN fingerprint <> $4 THEN apply END AS apply
),
kinds AS (
    SELECT kind, kind_version, count(*) AS held, min(position) AS first
    FROM public.event WHERE position > $1 AND position <= $2
    GROUP BY kind, kind_version
),
range AS (
    SELECT coalesce(sum(held), 0)::bigint AS held, min(first) FILTER (WHERE kind || ' ' || kind_version <> ALL ($3)) AS unknown
    FROM kinds
)
SELECT moved.apply, range.held, range.unknown FROM moved CROSS JOIN range
