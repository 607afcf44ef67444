SELECT pg_total_relation_size('vault.opening') / greatest(1, (SELECT count(*) FROM vault.opening))
