SELECT vault.give_up($1, $2)
