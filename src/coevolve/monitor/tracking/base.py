"""What a tracker is, and what a row of metrics looks like to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values between edges; there is one edge more than there are counts."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]


Value = float | str | Histogram


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What a tracker needs to know of a run."""

    folder: Path
    project: str
    name: str
    id: str  # the same in every life of the run
    online: bool  # may the tracker use a network
    config: Mapping[str, object]  # nested, as in config.yaml
    best: Callable[[], Mapping[str, str]] = dict  # "max" or "min" by the name of a metric, when asked for


class Tracker(Protocol):
    """Takes the rows of metrics.jsonl in their order. Whatever it raises ends this tracker and never the run."""

    def start(self, run: TrackedRun, after: int) -> int:
        """Begin, or go on with what an earlier life of the run began.

        Args:
            run: the run.
            after: the last step that is known to be stored; -1 for none.

        Returns:
            The last step that need not be logged: ``after``, or more if the tracker finds that it holds more.
        """

    def log(self, row: Mapping[str, Value], step: int) -> None:
        """One row; ``step`` is its line in metrics.jsonl, from 0, and rises from call to call."""

    def flush(self) -> None:
        """Store what was logged."""

    def finish(self, status: str) -> None:
        """The run has ended: finished, failed, interrupted, or killed. Store everything."""
