VACUUM bare_words
