"""Alphabets, words, n-grams, synonyms and word vectors of texts, without files of the project."""
