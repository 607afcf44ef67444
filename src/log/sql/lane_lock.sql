-- The lane's lock, for who must keep appends away. It goes with the transaction.
SELECT pg_advisory_xact_lock(7163664893726287)
