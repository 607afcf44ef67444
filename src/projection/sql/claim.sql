,
-- Behind count.sql: moves progress over the range, or not at all: no row means that another projector was here, or is. Who is
-- late does not wait for the row, for when it is let go it has moved, and this would fail. What is counted is counted in the
-- snapshot that the fold reads. $4 is the fingerprint of our own fold: rows that another one made go on by theirs.
moved AS (
    UPDATE progress SET position = $2, error = NULL
    WHERE position = $1 AND pg_try_advisory_xact_lock(hashtext('convoledger fold'), tableoid::integer)
    RETURNING CASE WHEN fingerprint <> $4 THEN apply END AS apply
)
SELECT moved.apply, range.held, range.unknown FROM moved CROSS JOIN range
