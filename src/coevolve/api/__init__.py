"""What ``import coevolve`` offers to programs and notebooks (docs/python.md); commands use the same functions."""
