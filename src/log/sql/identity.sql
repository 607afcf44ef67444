SELECT l.id AS ledger, l.origin, h.id AS history FROM ledger AS l, history AS h ORDER BY h.since DESC LIMIT 1
