-- The schemas of the strands that a rebuild of $1 folds, in order.
SELECT nspname::text FROM pg_namespace
WHERE nspname ~ ('^' || $1 || '_strand_[0-9]+$')
ORDER BY length(nspname), nspname
