-- For each table of schema $1 but its progress, the statements that count its rows and hash them whatever their order, and
-- that list, as text, rows which the same table of schema $2 has not.
SELECT tablename::text,
    format('SELECT count(*) || '' '' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) || '' '' '
        '|| coalesce(sum(hashtextextended(t::text, 1)::numeric), 0) FROM %I.%I AS t', schemaname, tablename),
    format('SELECT t::text FROM %I.%I AS t EXCEPT ALL SELECT t::text FROM %I.%I AS t ORDER BY 1', schemaname, tablename,
        $2::text, tablename)
FROM pg_tables WHERE schemaname = $1 AND tablename <> 'progress' ORDER BY 1
