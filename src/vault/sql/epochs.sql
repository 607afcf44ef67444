SELECT epoch, bool_or(wrapped IS NOT NULL) AS needed
FROM vault.subject_key
GROUP BY epoch
ORDER BY epoch
