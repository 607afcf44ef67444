-- For this transaction alone: a pooler may hand the session to anybody afterwards.
--
-- No table is qualified, so the search path says whose rows are folded, and that `event` is what is left to be folded. Rows
-- and progress commit together and fold again if a crash takes them, so the commit need not wait for the disk. A projector
-- that hangs lets go of its progress row sooner than who waits for it, to sweep or to rename, gives up. Days and months mean
-- the same wherever a fold runs. Plans are made once and must not depend on how small the tables were at that moment.
SELECT set_config('search_path', $1 || ', fold, public', true),
    set_config('synchronous_commit', 'off', true),
    set_config('statement_timeout', '120s', true),
    set_config('lock_timeout', '10s', true),
    set_config('idle_in_transaction_session_timeout', '3s', true),
    set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('enable_seqscan', 'off', true),
    set_config('jit', 'off', true),
    set_config('TimeZone', 'UTC', true),
    set_config('work_mem', '64MB', true)
