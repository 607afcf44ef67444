SELECT account.forget($1)
