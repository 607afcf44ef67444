-- What ($1, $2] holds. It is counted in all of the log: `fold.event` has holes where conversations expired. $3 is every kind and
-- version that is known.
WITH kinds AS (
    SELECT kind, kind_version, count(*) AS held, min(position) AS first
    FROM public.event WHERE position > $1 AND position <= $2
    GROUP BY kind, kind_version
),
range AS (
    SELECT coalesce(sum(held), 0)::bigint AS held, min(first) FILTER (WHERE kind || ' ' || kind_version <> ALL ($3)) AS unknown
    FROM kinds
)
