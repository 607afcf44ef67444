SELECT id FROM account.account WHERE email_digest = $1
