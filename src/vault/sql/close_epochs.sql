-- Closes every epoch up to $1. One that a crash left without a row gets it now, closed: a server that read its file before
-- must not open it later.
INSERT INTO vault.epoch AS e (number, closed_at) SELECT number, clock_timestamp() FROM generate_series(1, $1) AS number
ON CONFLICT (number) DO UPDATE SET closed_at = clock_timestamp() WHERE e.closed_at IS NULL
