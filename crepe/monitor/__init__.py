"""Show the progress of a study."""
