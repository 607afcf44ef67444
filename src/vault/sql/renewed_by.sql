-- When keys of which some words went are given up at the latest: when the epoch is so old that wraps them.
SELECT min(began_at) + make_interval(secs => $1) FROM vault.epoch WHERE retired_at IS NULL
