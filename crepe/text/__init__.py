"""Text as such: alphabets, words, n-grams, synonyms, word vectors."""
