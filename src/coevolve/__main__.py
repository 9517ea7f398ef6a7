"""``python -m coevolve`` is the same as ``coevolve``."""

from coevolve.cli import main

main()
