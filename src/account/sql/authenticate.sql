-- Nobody's once its account is being forgotten.
SELECT t.account_id FROM account.token AS t
WHERE t.digest = $1 AND t.revoked_at IS NULL AND NOT EXISTS (SELECT FROM public.closed AS c WHERE c.owner_id = t.account_id)
