-- The newest epoch that is to go: it was closed and its key not destroyed yet, or it began longer ago than $1 seconds.
SELECT max(number) FROM vault.epoch
WHERE retired_at IS NULL AND (closed_at IS NOT NULL OR began_at < clock_timestamp() - make_interval(secs => $1))
