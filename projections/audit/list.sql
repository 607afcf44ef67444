-- One page of what was done in an owner's ledger: filtered, then the newest first. $6, $7 is the key of the entry that all
-- of the page comes after.
WITH matching AS NOT MATERIALIZED (
    SELECT e.* FROM audit.entry AS e
    WHERE e.owner_id = $1 AND ($2::text[] IS NULL OR e.kind = ANY ($2))
      AND e.day >= coalesce($3, '-infinity'::date) AND e.day < coalesce($4, 'infinity'::date)
),
page AS (
    SELECT * FROM matching
    WHERE (day, first_position) < (coalesce($6, 'infinity'::date), coalesce($7, 9223372036854775807))
    ORDER BY day DESC, first_position DESC LIMIT $8
)
-- The total is counted only when it is asked for ($5), and stands on a row of its own when the page is empty.
SELECT counted.total, page.stream_id, page.day, page.kind, coalesce(page.actor_id, $1) AS actor_id, page.events,
    page.first_position, page.last_position, first.recorded_at AS first_at, last.recorded_at AS last_at
FROM (SELECT count(*) AS total FROM matching WHERE $5) AS counted
LEFT JOIN page ON true
LEFT JOIN LATERAL (SELECT e.recorded_at FROM event AS e WHERE e.position = page.first_position LIMIT 1) AS first ON true
LEFT JOIN LATERAL (SELECT e.recorded_at FROM event AS e WHERE e.position = page.last_position LIMIT 1) AS last ON true
ORDER BY page.day DESC, page.first_position DESC
