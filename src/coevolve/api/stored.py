"""A run as an object: what it wrote, its agents, and going on with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coevolve.api.rows import Rows
from coevolve.runs.existing import newest_run
from coevolve.store.records import RunRecords
from coevolve.store.trajectories import trajectories_from_rows
from coevolve.system import let_waiting_threads_sleep

if TYPE_CHECKING:
    from coevolve.config import Config
    from coevolve.types import Trajectory


class Run:
    """A run folder. Every look reads what is there now, also while the run goes on.

    Args:
        path: the folder.

    Raises:
        RunError: it holds no run, or a damaged one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._records()

    def __repr__(self) -> str:
        return f"<Run {self.path}: {self.status}>"

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def config(self) -> Config:
        """Every key with its value: ``run.config.seed``."""
        return self._records().config

    @property
    def status(self) -> str:
        """running, finished, failed, interrupted, or stopped where it was killed."""
        return self._records().status

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers of the run by iteration, as of ``coevolve summary --json``."""
        from coevolve.monitor.summary import summarise

        return summarise(self.path)

    @property
    def metrics(self) -> Rows:
        """The rows of ``metrics.jsonl``: steps, pools and evaluations in their order."""
        return Rows(self._records().metrics())

    @property
    def timings(self) -> Rows:
        """The rows of ``timings.jsonl``: seconds, tokens and tool calls of each finished phase."""
        return Rows(self._records().timings())

    @property
    def tasks(self) -> Rows:
        """Every question of the pools of finished iterations, with its votes, its label and what the gate decided."""
        records = self._records()
        return Rows(row for name in records.recorded("tasks/") for row in records.read_table(name))

    def trajectories(self, iteration: int | None = None, set: str | None = None) -> Iterator[Trajectory]:
        """The stored answers of finished phases, token by token, read a part at a time.

        Args:
            iteration: only those of this one; 0 is the base model.
            set: only those to these questions, such as ``pool``, ``level-3`` or the name of a suite.

        Raises:
            RunError: a table is damaged.
        """
        records = self._records()
        for name in records.recorded("trajectories/"):
            for batch in records.scan(name):
                rows = batch.to_pylist()
                wanted = (
                    row for row in rows if iteration in (None, row["iteration"]) and (set is None or row["set"] == set)
                )
                yield from trajectories_from_rows(list(wanted))

    def solve(self, question: str, iteration: int | None = None) -> Trajectory:
        """The greedy answer of the trained solver, with its tool: ``.answer``, ``.text``, ``.tool_calls``.

        Args:
            question: one that the base model can read.
            iteration: of the solver; 0 for the base model, None for the newest.

        Raises:
            ConfigError: the model cannot read the question.
            RunError: the run has no such solver.
        """
        from coevolve.runs.ask import solve

        let_waiting_threads_sleep()
        return solve(self.path, question, iteration)

    def report(self) -> Path:
        """Write the page of the run anew; returns its path.

        Raises:
            RunError: the run is damaged, or the disk refuses.
        """
        from coevolve.report.build import build_report

        return build_report(self.path)

    def resume(self, *, quiet: bool = False) -> Run:
        """Go on with the run where it was; a finished one is left as it is.

        Args:
            quiet: show no progress.

        Raises:
            CoevolveError: whatever makes it impossible.
        """
        from coevolve.api.running import resume

        resume(self.path, quiet=quiet)
        return self

    def _records(self) -> RunRecords:
        return RunRecords.open(self.path)


def load(path: str | os.PathLike[str] | None = None) -> Run:
    """A stored run.

    Args:
        path: its folder; None: the newest one under ``runs/``.

    Raises:
        RunError: there is no run, or a damaged one.
    """
    return Run(newest_run() if path is None else path)
