DELETE FROM unswept WHERE position = $1
