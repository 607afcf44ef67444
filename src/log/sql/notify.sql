SELECT pg_notify('convoledger', $1::text)
