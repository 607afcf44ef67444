-- Tables are not qualified: these statements make the live view, and its rebuild beside it. Only CREATE TABLE, INDEX, TYPE
-- and DOMAIN. Let owner_id lead every key: whose conversations they are.
CREATE TABLE said (
    owner_id uuid   NOT NULL,
    role     text   NOT NULL,
    messages bigint NOT NULL,
    PRIMARY KEY (owner_id, role)
);
