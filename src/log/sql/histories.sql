SELECT since, id FROM history ORDER BY since
