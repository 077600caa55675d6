"""The files of a run, typed: written and read by the same classes."""
