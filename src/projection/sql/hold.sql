-- Where the rows stand, held there until the transaction ends. The row is written, not only locked: a fold that waits
-- for it then fails instead of going on in tables that were renamed meanwhile.
UPDATE progress SET position = position RETURNING position
