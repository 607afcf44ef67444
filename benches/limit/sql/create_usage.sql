-- The table of the view, as the view has it.
DROP SCHEMA IF EXISTS bare CASCADE;
CREATE SCHEMA bare;
CREATE TABLE bare.usage (LIKE usage.usage INCLUDING ALL) WITH (fillfactor = 90)
