-- Exports whose time was over at $1, and that nobody took away yet.
SELECT m.owner_id, (m.body ->> 'export')::uuid AS export FROM event AS m
WHERE m.kind = 'export.made' AND (m.body ->> 'expires')::timestamptz <= $1
  AND NOT EXISTS (
      SELECT FROM event AS x
      WHERE x.owner_id = m.owner_id AND x.position > m.position AND x.kind = 'export.expired'
        AND x.body ->> 'export' = m.body ->> 'export'
  )
  AND NOT EXISTS (SELECT FROM closed AS c WHERE c.owner_id = m.owner_id)
