SELECT position, owner_id, part, subject_id, generation, nonce, ciphertext FROM words WHERE position > $1 AND position <= $2 ORDER BY position, part
