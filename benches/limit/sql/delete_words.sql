DELETE FROM bare_words WHERE owner_id = $1
