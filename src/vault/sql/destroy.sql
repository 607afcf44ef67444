UPDATE vault.subject_key SET wrapped = NULL WHERE subject_id = $1 AND wrapped IS NOT NULL
