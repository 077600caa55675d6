"""From archives to shards: download, clean, encode, word vectors."""
