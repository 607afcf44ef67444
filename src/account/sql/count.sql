SELECT count(*) FROM account.account
