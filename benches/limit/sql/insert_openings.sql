-- As many rows as there are parts, each with 32 bytes, by their key.
DROP SCHEMA IF EXISTS bare CASCADE;
CREATE SCHEMA bare;
CREATE TABLE bare.opening (
    position bigint, part smallint, generation integer, covered bytea, PRIMARY KEY (position, part)
);
INSERT INTO bare.opening
SELECT position, part, 2, decode(md5(position::text) || md5(part::text), 'hex') FROM words
