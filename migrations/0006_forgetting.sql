-- Forgetting: what the vault and the log need for it.

-- The epochs that keys were ever wrapped in. A number is never used twice.
CREATE TABLE vault.epoch (
    number     integer     PRIMARY KEY CHECK (number > 0),
    began_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- From then on nothing is wrapped in it. Whoever wraps holds the row (FOR SHARE), and whoever closes it writes it: so
    -- once it is closed, no key comes in any more, from whatever server.
    closed_at  timestamptz,
    -- When its key was destroyed.
    retired_at timestamptz,
    CHECK (retired_at IS NULL OR closed_at <= retired_at)
);
INSERT INTO vault.epoch (number) SELECT DISTINCT epoch FROM vault.subject_key;
-- What is left to be wrapped anew when an epoch is retired.
CREATE INDEX subject_key_epoch ON vault.subject_key (epoch) WHERE wrapped IS NOT NULL;
