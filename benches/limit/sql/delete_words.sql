DELETE FROM bare.words WHERE owner_id = $1
