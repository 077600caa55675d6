"""Training of models on shards."""
