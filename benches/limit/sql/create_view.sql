DROP SCHEMA IF EXISTS bare CASCADE;
CREATE SCHEMA bare;
CREATE TABLE bare.conversation (
    owner_id      uuid        NOT NULL,
    id            uuid        NOT NULL,
    updated_at    timestamptz NOT NULL,
    position      bigint      NOT NULL,
    version       integer     NOT NULL,
    message_count bigint      NOT NULL,
    size_bytes    bigint      NOT NULL,
    PRIMARY KEY (owner_id, id)
) WITH (fillfactor = 80)
