-- One statement that folds the events in ($1, $2] into the rows. Any division of the log into ranges must give the same
-- rows: fold the range by key first, then write each row once.
INSERT INTO said AS was (owner_id, role, messages)
SELECT owner_id, body ->> 'role', count(*)
FROM event
WHERE position > $1 AND position <= $2 AND kind = 'message.appended'
GROUP BY 1, 2
ON CONFLICT (owner_id, role) DO UPDATE SET messages = was.messages + excluded.messages
