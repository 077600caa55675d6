"""The progress of a study, for onlookers."""
