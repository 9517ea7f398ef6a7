"""Worlds: families of tasks with a base model; the learner sees one side of them, the meter the other."""
