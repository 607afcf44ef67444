SELECT o.position, o.part, o.generation, o.covered
FROM unnest($1::bigint[], $2::smallint[]) AS p (position, part)
JOIN vault.opening AS o USING (position, part)
