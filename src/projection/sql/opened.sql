-- The schemas of projections that hold words: live ones, those being made and former ones, by what keeps all their rows out
-- of the log, whether or not this program was given their folder; and ($1) those of facts that are not built in ($2), for
-- whoever wrote them need not know what goes. A rebuild's strands hold no rows of their own. Whether each knows how to let go
-- of some of its rows.
SELECT n.oid, n.nspname, to_regprocedure(format('%I.forget(uuid, bigint[])', n.nspname)) IS NOT NULL AS knows
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = 'progress' AND c.relkind = 'r' AND n.nspname !~ '_strand_[0-9]+$'
  AND (c.relpersistence = 'u' OR $1 AND regexp_replace(n.nspname, '_(next|old)$', '') <> ALL ($2))
ORDER BY n.nspname
