-- One sealer at a time, on all servers of this database. It goes with the transaction.
SELECT pg_try_advisory_xact_lock(7163664893726288)
