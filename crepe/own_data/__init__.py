"""Datasets made from your own tables of texts."""
