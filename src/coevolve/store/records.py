"""Reading a run folder: only what its manifest lists counts, and damage is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from coevolve.config import Config
from coevolve.errors import RunError
from coevolve.store import atomic, tables
from coevolve.store.logs import rows_of
from coevolve.store.manifest import Cursor, Manifest

METRICS, TIMINGS = "metrics.jsonl", "timings.jsonl"
PARTIAL = "partial"  # folder of what is kept of the phase in progress


class RunRecords:
    """What anyone may read of a run, also while it is being written."""

    def __init__(self, path: Path, config: Config, state: Manifest) -> None:
        """
        Raises:
            RunError: a log is shorter than the manifest says.
        """
        self.path, self.config = path, config
        self._state = state
        for name in (METRICS, TIMINGS):
            self._check_length(name)

    @property
    def status(self) -> str:
        """running, finished, failed or interrupted."""
        return self._state.status

    @property
    def facts(self) -> dict[str, object]:
        """What ``set_status`` was told about the run, such as the layers of the sandbox."""
        return dict(self._state.model_extra or {})

    @property
    def finished_phases(self) -> list[str]:
        """Names of the finished phases, in their order."""
        return [phase.name for phase in self._state.phases]

    def is_done(self, phase: str) -> bool:
        """Whether the phase is finished and its files count."""
        return phase in self.finished_phases

    @property
    def cursor(self) -> Cursor | None:
        """How far the phase in progress is; None where nothing of it is kept."""
        return self._state.cursor

    def read_table(self, relative: str) -> list[dict[str, object]]:
        """The rows of a Parquet file of this run.

        Raises:
            RunError: the file is missing or damaged.
        """
        path = self.path / relative
        with self._reading(path):
            return tables.read(path)

    def scan(
        self, relative: str, columns: Sequence[str] | None = None, task_id: str | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a Parquet file of this run in parts that fit in memory (:func:`coevolve.store.tables.batches`).

        Raises:
            RunError: the file is missing or damaged.
        """
        path = self.path / relative
        with self._reading(path):
            yield from tables.batches(path, columns, task_id)

    def recorded(self, prefix: str = "") -> list[str]:
        """Relative paths of all files of finished phases that start with ``prefix``."""
        return [name for phase in self._state.phases for name in phase.files if name.startswith(prefix)]

    def verify_all(self) -> None:
        """Compare everything that counts with its hashes: files of finished phases, both logs, the phase in progress.

        Raises:
            RunError: a file is missing or was changed.
        """
        self.verify()
        metrics, timings = 0, 0
        for phase in self._state.phases:
            self._verify_lines(METRICS, metrics, phase.metrics_bytes, phase.metrics_sha256, phase.name)
            self._verify_lines(TIMINGS, timings, phase.timings_bytes, phase.timings_sha256, phase.name)
            metrics, timings = phase.metrics_bytes, phase.timings_bytes
        if self.cursor is not None:
            name = self.cursor.phase
            self._verify_lines(METRICS, metrics, self.cursor.metrics_bytes, self.cursor.metrics_sha256, name)
            for file, expected in self.cursor.files.items():
                self._verify_file(self.path / file, expected, name)

    def verify(self, prefix: str = "") -> None:
        """Compare the files of finished phases that start with ``prefix`` with their hashes.

        Raises:
            RunError: a file is missing or was changed.
        """
        for phase in self._state.phases:
            for name, expected in phase.files.items():
                if name.startswith(prefix):
                    self._verify_file(self.path / name, expected, phase.name)

    def checkpoint(self, iteration: int, role: str) -> Path:
        """The folder of a checkpoint, checked against its hashes.

        Raises:
            RunError: no finished phase made it, or it is missing or changed.
        """
        relative = f"checkpoints/iteration-{iteration}/{role}"
        if not self.recorded(relative + "/"):
            raise RunError(
                f"the run has no finished checkpoint of the {role} for iteration {iteration}",
                where=str(self.path / relative),
                fix=f"let the run go on: coevolve resume {self.path}",
            )
        self.verify(relative + "/")
        return self.path / relative

    def metrics(self) -> list[dict[str, object]]:
        """All complete lines of metrics.jsonl, those of the phase in progress included.

        Raises:
            RunError: a line is damaged.
        """
        return rows_of(self.path / METRICS, self._restore())

    def timings(self) -> list[dict[str, object]]:
        """All complete lines of timings.jsonl.

        Raises:
            RunError: a line is damaged.
        """
        return rows_of(self.path / TIMINGS, self._restore())

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise self._damage("a table of the run is missing", path) from None
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise self._damage(f"a table of the run is damaged: {reason}", path) from error

    def _length(self, name: str) -> int:
        """Bytes of a log that finished phases wrote."""
        if not self._state.phases:
            return 0
        last = self._state.phases[-1]
        return last.metrics_bytes if name == METRICS else last.timings_bytes

    def _check_length(self, name: str) -> None:
        path, expected = self.path / name, self._length(name)
        if name == METRICS and self.cursor is not None:
            expected = self.cursor.metrics_bytes
        found = path.stat().st_size if path.exists() else 0
        if found < expected:
            raise self._damage(f"{name} has {found} bytes, {expected} were recorded", path)

    def _verify_file(self, path: Path, expected: str, phase: str) -> None:
        if not path.is_file():
            raise self._damage(f"a file that {phase} wrote is missing", path)
        if atomic.digest(path) != expected:
            raise self._damage(f"a file was changed after {phase} had written it", path)

    def _verify_lines(self, name: str, begin: int, end: int, expected: str, phase: str) -> None:
        if atomic.digest(self.path / name, begin, end) != expected:
            raise self._damage(f"lines that {phase} wrote were changed", self.path / name)

    def _restore(self) -> str:
        return (
            f"go back to before it: coevolve doctor {self.path} --repair   and on from there to the same result: "
            f"coevolve resume {self.path}"
        )

    def _damage(self, what: str, path: Path) -> RunError:
        return RunError(what, where=str(path), fix=self._restore())
