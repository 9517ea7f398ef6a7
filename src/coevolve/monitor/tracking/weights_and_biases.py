"""Weights & Biases: files below the run folder that ``wandb sync`` uploads, or its server at once."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from coevolve.monitor.tracking.base import Histogram, TrackedRun, Value
from coevolve.monitor.tracking.flattening import with_histograms


class WeightsAndBiases:
    """Implements :class:`coevolve.monitor.tracking.base.Tracker`. Every life of a run has the same id."""

    def start(self, run: TrackedRun, after: int) -> int:
        """Open the run; nothing of the machine, the code or the terminal is recorded."""
        folder = run.folder / "track"
        os.environ.setdefault("WANDB_CACHE_DIR", str(folder / "wandb" / "cache"))
        os.environ.setdefault("WANDB_DATA_DIR", str(folder / "wandb" / "data"))
        import wandb

        def histogram(value: Histogram) -> object:
            return wandb.Histogram(np_histogram=(np.array(value.counts), np.array(value.edges)))

        self._make = histogram
        self._run = wandb.init(
            project=run.project,
            name=run.name,
            id=run.id,
            dir=str(folder),
            mode="online" if run.online else "offline",
            resume="allow",
            config=dict(run.config),
            settings=wandb.Settings(
                console="off",
                disable_code=True,
                disable_git=True,
                disable_job_creation=True,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )
        for metric, best in run.best().items():
            self._run.define_metric(metric, summary=f"last,{best}")
        return after

    def log(self, row: Mapping[str, Value], step: int) -> None:
        """The whole row at once; W&B itself drops a step that is not after the last one."""
        self._run.log(with_histograms(row, self._make), step=step)

    def flush(self) -> None:
        """Its own process writes at once."""

    def finish(self, status: str) -> None:
        """Wait until everything is written, or uploaded."""
        self._run.summary["status"] = status
        self._run.finish(exit_code=0 if status == "finished" else 1)
