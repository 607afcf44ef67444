-- The statements that keep the words of schema $1 in its own files: tables that the write-ahead log, and so no standby and
-- no base backup, sees the rows of; and no samples of words in the catalog's statistics, which are logged. Types that
-- cannot hold words keep their statistics.
SELECT format('ALTER TABLE %I.%I SET UNLOGGED', n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relpersistence = 'p'
UNION ALL
SELECT format('ALTER %s %I.%I ALTER COLUMN %s SET STATISTICS 0', CASE WHEN c.relkind = 'i' THEN 'INDEX' ELSE 'TABLE' END,
    n.nspname, c.relname, CASE WHEN c.relkind = 'i' THEN a.attnum::text ELSE quote_ident(a.attname) END)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget IS DISTINCT FROM 0
LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE n.nspname = $1
  AND CASE WHEN c.relkind = 'i' THEN i.indkey[a.attnum - 1] = 0 ELSE c.relkind IN ('r', 'p') END
  AND a.atttypid <> ALL ('{bool,int2,int4,int8,numeric,float4,float8,uuid,oid,regconfig,date,timestamp,timestamptz}'::regtype[])
