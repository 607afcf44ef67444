-- Renewals that are over and that the log does not tell of yet: the last generation given up, the last epoch that wrapped it,
-- and the head of the log up to which nothing that went opens any more.
SELECT r.subject_id, r.since - 1 AS generation, gone.epoch, r.began
FROM vault.renewal AS r,
    LATERAL (
        SELECT max(k.epoch) AS epoch, bool_and(k.wrapped IS NULL) AS given_up
        FROM vault.subject_key AS k WHERE k.subject_id = r.subject_id AND k.generation < r.since
    ) AS gone
WHERE r.told < r.since AND gone.given_up
    AND NOT EXISTS (SELECT FROM vault.epoch AS e WHERE e.number <= gone.epoch AND e.retired_at IS NULL)
ORDER BY r.subject_id
