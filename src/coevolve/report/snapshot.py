"""A run at one moment, opened without its lock while another process may be writing to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from coevolve.config import Config
from coevolve.errors import RunError
from coevolve.store import manifest, settings
from coevolve.store.records import METRICS, TIMINGS, RunRecords

_TRIES = 3  # a reader may see the manifest of one moment and a log of the next, or a folder that is being replaced


class Snapshot(RunRecords):
    """The records of a run whose logs are read once, however many ask."""

    def metrics(self) -> list[dict[str, object]]:
        return self._metrics

    def timings(self) -> list[dict[str, object]]:
        return self._timings

    @cached_property
    def _metrics(self) -> list[dict[str, object]]:
        return super().metrics()

    @cached_property
    def _timings(self) -> list[dict[str, object]]:
        return super().timings()

    @cached_property
    def tasks_version(self) -> str:
        """Changes with the tables of tasks and of the meter, and with what is stored of trajectories."""
        names = [name for prefix in ("tasks/", "meter/", "trajectories/") for name in self.recorded(prefix)]
        return fingerprint(self.path / name for name in names)


def take_snapshot(path: Path, known: Config | None = None) -> Snapshot:
    """Open a run and read its logs.

    Args:
        path: the run folder.
        known: its configuration, where it was read before: reading it again would be most of the work.

    Raises:
        RunError: no run, or a damaged one.
    """
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            state = manifest.read(path)
            snapshot = Snapshot(path, known or settings.read(path, state), state)
            snapshot.metrics(), snapshot.timings()
            return snapshot
        except RunError:
            if last:
                raise
    raise AssertionError("unreachable")


def run_version(path: Path) -> str:
    """Changes whenever a run logs something, finishes a phase or is replaced; costs a look at four files."""
    return fingerprint(path / name for name in (manifest.NAME, METRICS, TIMINGS, settings.NAME))


def fingerprint(files: Iterable[Path]) -> str:
    """Sixteen hex digits over which files these are on the disk, how long, and when they were written."""
    sha = hashlib.sha256()
    for file in files:
        try:
            found = file.stat()
        except OSError:
            sha.update(f"{file}: none\n".encode())
        else:
            sha.update(f"{file}: {found.st_ino} {found.st_size} {found.st_mtime_ns}\n".encode())
    return sha.hexdigest()[:16]
