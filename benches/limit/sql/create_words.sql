CREATE TABLE bare_words (LIKE words INCLUDING ALL);
INSERT INTO bare_words SELECT * FROM words;
CREATE INDEX ON bare_words (owner_id);
ANALYZE bare_words
