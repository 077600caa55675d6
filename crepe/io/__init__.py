"""Files, locks, tensors and progress; nothing here knows of texts or models."""
