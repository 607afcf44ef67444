UPDATE vault.epoch SET retired_at = clock_timestamp() WHERE number <= $1 AND retired_at IS NULL
