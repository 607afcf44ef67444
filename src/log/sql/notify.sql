-- A hint: that it may be lost in a crash costs others a patrol, and waiting for its flush would cost the lane one.
SELECT set_config('synchronous_commit', 'off', true), pg_notify('convoledger', $1::text)
