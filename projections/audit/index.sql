-- The newest first: entries of later days, and on one day those that began later, stand in the order of the log.
CREATE INDEX entry_newest ON entry (owner_id, day, first_position);
