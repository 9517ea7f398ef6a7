"""The run folder: the one truth about a run, atomic and checked."""
