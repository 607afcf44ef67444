-- Where the rows stand, held there until the transaction ends. A fold that is under way is waited for, and none begins (see
-- claim.sql). The row is written, not only locked: a fold that had begun to look then fails instead of going on in tables that
-- were renamed meanwhile.
UPDATE progress SET position = position
WHERE pg_advisory_xact_lock(hashtext('convoledger fold'), tableoid::integer) IS NOT NULL
RETURNING position
