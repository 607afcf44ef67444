SELECT EXISTS (SELECT FROM account.account WHERE id = $1)
