VACUUM bare.words
