SELECT erase_words($1, $2)
