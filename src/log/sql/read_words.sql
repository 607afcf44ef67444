SELECT position, part, subject_id, generation, nonce, ciphertext FROM words WHERE position = ANY ($1) ORDER BY position, part
