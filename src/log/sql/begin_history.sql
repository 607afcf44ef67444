-- The id of the history that the log goes on as from here.
INSERT INTO history (since) SELECT coalesce(max(position), 0) FROM event RETURNING id
