-- The sealed words as the log has them, found by whose they are.
DROP SCHEMA IF EXISTS bare CASCADE;
CREATE SCHEMA bare;
CREATE TABLE bare.words (LIKE words INCLUDING ALL);
INSERT INTO bare.words SELECT * FROM words;
CREATE INDEX ON bare.words (owner_id);
ANALYZE bare.words
