"""Suites by what a user writes: the name of a benchmark, ``gym:SET``, or a file."""

from __future__ import annotations

from pathlib import Path

from coevolve.suites.base import Source


def find(spec: str, folder: Path | None = None) -> Source:
    """The source that a user means.

    Args:
        spec: a benchmark ("gsm8k"), a generated set ("gym:word-problems"), or a file (.jsonl, .parquet, .csv).
        folder: with copies of benchmarks, for machines without a network.

    Raises:
        ConfigError: there is none; says what exists.
    """
    raise NotImplementedError


def names() -> tuple[str, ...]:
    """All names that stand for a suite."""
    raise NotImplementedError
