-- As many rows as there are parts, each with 32 bytes, by their key.
DROP TABLE IF EXISTS bare_opening;
CREATE TABLE bare_opening (position bigint, part smallint, generation integer, covered bytea, PRIMARY KEY (position, part));
INSERT INTO bare_opening SELECT position, part, 2, decode(md5(position::text) || md5(part::text), 'hex') FROM words
