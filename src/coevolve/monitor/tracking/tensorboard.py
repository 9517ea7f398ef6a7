"""TensorBoard's event files, through tensorboardX: it needs neither torch nor TensorBoard itself, only protobuf."""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from tensorboardX import SummaryWriter

from coevolve.monitor.tracking.base import Histogram, TrackedRun, Value


class TensorBoard:
    """Implements :class:`coevolve.monitor.tracking.base.Tracker`: ``RUN/track/tensorboard``, a file for each life."""

    def start(self, run: TrackedRun, after: int) -> int:
        """The steps after ``after`` are purged from what readers show, so that none is there twice."""
        purge = None if after < 0 else after + 1
        folder = run.folder / "track" / "tensorboard"
        # Files are named by the second, and readers take them in the order of their names: two lives within one
        # second would be one file, the second in place of the first.
        life = sum(1 for _ in folder.glob("events.*")) if folder.is_dir() else 0
        self._writer = SummaryWriter(str(folder), purge_step=purge, max_queue=1000, filename_suffix=f".{life:05d}")
        if after < 0:
            self._writer.add_text("config", f"```\n{yaml.safe_dump(dict(run.config), sort_keys=False)}```", 0)
        return after

    def log(self, row: Mapping[str, Value], step: int) -> None:
        """Numbers, texts and histograms, each under its own tag."""
        for name, value in row.items():
            if isinstance(value, Histogram):
                self._add_histogram(name, value, step)
            elif isinstance(value, str):
                self._writer.add_text(name, value, step)
            else:
                self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Write the queue to the file."""
        self._writer.flush()

    def finish(self, status: str) -> None:
        """Close the file."""
        self._writer.close()

    def _add_histogram(self, name: str, value: Histogram, step: int) -> None:
        """With the moments of the bins' middles, which the format asks for."""
        pairs = list(zip(value.edges[:-1], value.edges[1:], value.counts, strict=True))
        middles = [((low + high) / 2, count) for low, high, count in pairs]
        self._writer.add_histogram_raw(
            name,
            min=value.edges[0],
            max=value.edges[-1],
            num=sum(value.counts),
            sum=sum(middle * count for middle, count in middles),
            sum_squares=sum(middle * middle * count for middle, count in middles),
            bucket_limits=list(value.edges[1:]),
            bucket_counts=list(value.counts),
            global_step=step,
        )
