"""A study's results beside the paper's."""
