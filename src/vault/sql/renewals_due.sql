-- Of whom words went since their newest key was made.
SELECT r.subject_id FROM vault.renewal AS r
WHERE r.because IS NOT NULL AND NOT EXISTS (SELECT FROM public.closed AS c WHERE c.owner_id = r.subject_id)
ORDER BY r.subject_id
