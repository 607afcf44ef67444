-- The table of the view, as the view has it.
DROP SCHEMA IF EXISTS bare CASCADE;
CREATE SCHEMA bare;
CREATE TABLE bare.entry (LIKE audit.entry INCLUDING ALL) WITH (fillfactor = 90)
