SELECT count(*) FROM account.token WHERE account_id = $1
