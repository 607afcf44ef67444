-- What the messages of the log used, as someone would keep it by hand to ask for costs: a row a message.
DROP SCHEMA IF EXISTS bare CASCADE;
CREATE SCHEMA bare;
CREATE TABLE bare.said AS
SELECT owner_id, occurred_at, body ->> 'model' AS model, (body #>> '{usage,input}')::bigint AS tokens_in,
    (body #>> '{usage,output}')::bigint AS tokens_out, (body ->> 'cost_usd')::numeric AS cost_usd
FROM event WHERE kind = 'message.appended';
CREATE INDEX ON bare.said (owner_id, occurred_at);
ANALYZE bare.said
