"""Trackio: a SQLite file below the run folder or in TRACKIO_DIR; online, where its own variables say."""

from __future__ import annotations

import os
from collections.abc import Mapping

from coevolve.monitor.tracking.base import Histogram, TrackedRun, Value
from coevolve.monitor.tracking.flattening import with_histograms

_SERVERS = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class Trackio:
    """Implements :class:`coevolve.monitor.tracking.base.Tracker`."""

    def start(self, run: TrackedRun, after: int) -> int:
        """Open the run, or take it up where its database ends; only of a server we know no more than ``after``."""
        os.environ.setdefault("TRACKIO_DIR", str(run.folder / "track" / "trackio"))
        if not run.online:
            os.environ["HF_HUB_OFFLINE"] = "1"  # it would ask the hub who is logged in
            for server in _SERVERS:
                os.environ.pop(server, None)
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        def histogram(value: Histogram) -> object:
            return trackio.Histogram(np_histogram=(value.counts, value.edges))

        self._make = histogram
        self._run = trackio.init(
            project=run.project,
            name=f"{run.name}-{run.id}",  # it knows a run again by its name only
            config=dict(run.config),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        if any(os.environ.get(server) for server in _SERVERS):
            return after
        stored = SQLiteStorage.get_max_step_for_run(run.project, self._run.name, run_id=self._run.id)
        return -1 if stored is None else stored

    def log(self, row: Mapping[str, Value], step: int) -> None:
        """The whole row at once."""
        self._run.log(with_histograms(row, self._make), step=step)

    def flush(self) -> None:
        """Its own thread writes twice a second."""

    def finish(self, status: str) -> None:
        """Write what is left."""
        self._run.finish()
