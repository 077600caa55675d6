"""Testing of trained models."""
