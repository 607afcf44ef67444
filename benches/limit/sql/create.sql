CREATE TABLE log (
    position bigserial PRIMARY KEY,
    stream   uuid    NOT NULL,
    version  integer NOT NULL,
    type     text    NOT NULL,
    data     jsonb   NOT NULL,
    meta     jsonb   NOT NULL,
    UNIQUE (stream, version)
)
