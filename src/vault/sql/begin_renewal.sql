SELECT vault.begin_renewal($1, $2, $3, $4, $5, $6)
