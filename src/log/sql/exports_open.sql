-- Exports that were asked for and are not made, the eldest first. Those of closed accounts are not made any more.
SELECT r.owner_id, r.id, (r.body ->> 'masked')::boolean AS masked FROM event AS r
WHERE r.kind = 'export.requested'
  AND NOT EXISTS (
      SELECT FROM event AS m
      WHERE m.owner_id = r.owner_id AND m.position > r.position AND m.kind = 'export.made' AND m.body ->> 'export' = r.id::text
  )
  AND NOT EXISTS (SELECT FROM closed AS c WHERE c.owner_id = r.owner_id)
ORDER BY r.position
