"""Trained models at work: predict, explain, export, serve."""
