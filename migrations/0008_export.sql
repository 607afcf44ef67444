-- Exports that servers make: what was asked for and is not made yet, and what is there and has an end.
CREATE INDEX event_export ON event (owner_id, position)
WHERE kind IN ('export.requested', 'export.made', 'export.expired');
