SELECT owner_id FROM closed WHERE NOT done ORDER BY position
