-- Where no row is, all rows are gone: a crash empties unlogged tables, progress and all.
INSERT INTO progress (fingerprint, apply) VALUES ($1, $2) ON CONFLICT DO NOTHING
