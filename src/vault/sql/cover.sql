SELECT vault.cover($1, $2, $3, $4)
