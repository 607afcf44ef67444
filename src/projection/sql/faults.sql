-- What a fold must not name: file and reason, worst first. The trees are what Postgres parsed: of the fold, as the body of
-- a function in schema $1, and of defaults, CHECKs, domains and indexes of its tables.
WITH tree AS (
    SELECT 1 AS rank, 'apply.sql' AS file, prosqlbody::text AS node FROM pg_proc WHERE pronamespace = $1::regnamespace
    UNION ALL
    SELECT 2, 'schema.sql', d.adbin::text FROM pg_attrdef AS d JOIN pg_class AS c ON c.oid = d.adrelid
    WHERE c.relnamespace = $1::regnamespace
    UNION ALL
    SELECT 2, 'schema.sql', conbin::text FROM pg_constraint WHERE connamespace = $1::regnamespace
    UNION ALL
    SELECT 2, 'schema.sql', typdefaultbin::text FROM pg_type WHERE typnamespace = $1::regnamespace
    UNION ALL
    SELECT 3, 'index.sql', concat(i.indexprs::text, i.indpred::text) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE c.relnamespace = $1::regnamespace
),
touched AS (
    SELECT DISTINCT rank, file, c.oid, c.oid::regclass AS name
    FROM tree CROSS JOIN LATERAL regexp_matches(node, ':relid (\d+)', 'g') AS found
    JOIN pg_class AS c ON c.oid = found[1]::oid
    WHERE c.relnamespace <> $1::regnamespace AND c.oid <> 'fold.event'::regclass
),
called AS (
    SELECT DISTINCT rank, file, p.oid::regprocedure AS name, p.provolatile, p.proname
    FROM tree CROSS JOIN LATERAL regexp_matches(node, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') AS found
    JOIN pg_proc AS p ON p.oid = found[1]::oid
)
SELECT file, format('it touches `%s`, and a fold has its own tables and `event`', name), rank FROM touched
UNION ALL
SELECT file, format('it calls `%s`, which has effects or answers differently each time, and a fold must come to the same rows '
    'whenever it runs', name), rank
FROM called
WHERE provolatile = 'v'
   OR proname IN ('now', 'transaction_timestamp', 'statement_timestamp', 'current_setting', 'ts_stat', 'ts_rewrite')
   OR proname ~ '_to_xml' OR proname ^@ 'pg_' AND proname NOT IN ('pg_column_size', 'pg_size_pretty')
UNION ALL
SELECT file, 'it asks for the time or the user (CURRENT_TIMESTAMP and its like), and a fold must come to the same rows whenever it '
    'runs', rank
FROM tree WHERE node ~ 'SQLVALUEFUNCTION'
ORDER BY 3, 2
