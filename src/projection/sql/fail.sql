UPDATE progress SET error = $2 WHERE position = $1 AND error IS DISTINCT FROM $2
