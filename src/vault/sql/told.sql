UPDATE vault.renewal SET told = greatest(told, least(since, $2 + 1)) WHERE subject_id = $1
