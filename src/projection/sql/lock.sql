SELECT pg_advisory_xact_lock(hashtextextended('convoledger projection ' || $1, 0))
