-- The tables of the view that a live append touches, as the view has them.
DROP SCHEMA IF EXISTS bare CASCADE;
CREATE SCHEMA bare;
CREATE TABLE bare.conversation (LIKE conversation.conversation INCLUDING ALL) WITH (fillfactor = 80);
CREATE TABLE bare.branch (LIKE conversation.branch INCLUDING ALL) WITH (fillfactor = 80)
