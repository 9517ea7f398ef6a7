"""Reading a run folder: only what its manifest lists counts, and damage is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from coevolve.config import Config
from coevolve.errors import RunError
from coevolve.store import checking, manifest, settings, tables
from coevolve.store.logs import rows_of
from coevolve.store.manifest import METRICS, TIMINGS, Cursor, Manifest
from coevolve.store.standing import standing


class RunRecords:
    """What anyone may read of a run, also while it is being written.

    Args:
        path: the run folder.
        config: its configuration.
        state: its manifest; the writer of a run puts a newer one here whenever it has saved one.

    Raises:
        RunError: a log is shorter than the manifest says.
    """

    def __init__(self, path: Path, config: Config, state: Manifest) -> None:
        self.path, self.config, self.state = path, config, state
        for log in (METRICS, TIMINGS):
            self._check_length(log)

    @classmethod
    def open(cls, path: Path) -> RunRecords:
        """The records of a run as they are now.

        Raises:
            RunError: no run, a damaged one, or one of a schema that is not read.
        """
        state = manifest.read(path)
        return cls(path, settings.read(path, state), state)

    @property
    def status(self) -> str:
        """running, finished, failed, interrupted, or stopped where it was killed."""
        return standing(self.path, self.state.status)

    @property
    def facts(self) -> dict[str, object]:
        """What ``RunFolder.set_status`` recorded about the run, such as the layers of the sandbox."""
        return dict(self.state.model_extra or {})

    @property
    def finished_phases(self) -> list[str]:
        """Names of the finished phases, in their order."""
        return [phase.name for phase in self.state.phases]

    def is_done(self, phase: str) -> bool:
        """Whether the phase is finished and its files count."""
        return phase in self.finished_phases

    @property
    def cursor(self) -> Cursor | None:
        """How far the phase in progress is; None where nothing of it is kept."""
        return self.state.cursor

    def read_table(self, relative: str, *, for_learning: bool = False) -> list[dict[str, object]]:
        """The rows of a Parquet file of this run.

        Args:
            relative: its name in the run folder.
            for_learning: phases will see them, so a table that is for measuring only is refused.

        Raises:
            RunError: the file is missing or damaged, or must not be read.
        """
        path = self.path / relative
        with self._reading(path):
            if for_learning and tables.is_for_measuring(path):
                raise RunError(
                    "this table is for measuring only: it holds true answers or problems of a suite, which nothing "
                    "that learns may read",
                    where=str(path),
                    fix=f"somebody has put it there; {checking.way_back(self.path)}",
                )
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
        return [name for phase in self.state.phases for name in phase.files if name.startswith(prefix)]

    def verify(self, prefix: str = "") -> None:
        """Compare the files of finished phases that start with ``prefix`` with their hashes.

        Raises:
            RunError: a file is missing or was changed.
        """
        checking.verify(self.path, self.state, prefix)

    def verify_all(self) -> None:
        """Compare everything that counts with its hashes: files, both logs, the phase in progress.

        Raises:
            RunError: a file is missing or was changed.
        """
        checking.verify_all(self.path, self.state)

    def checkpoint(self, iteration: int, agent: str) -> Path:
        """The folder of a checkpoint, checked against its hashes.

        Raises:
            RunError: no finished phase made it, or it is missing or changed.
        """
        relative = f"checkpoints/iteration-{iteration}/{agent}"
        if not self.recorded(relative + "/"):
            raise RunError(
                f"the run has no finished checkpoint of the {agent} for iteration {iteration}",
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
        return self._rows(METRICS)

    def timings(self) -> list[dict[str, object]]:
        """All complete lines of timings.jsonl.

        Raises:
            RunError: a line is damaged.
        """
        return self._rows(TIMINGS)

    def _rows(self, log: str) -> list[dict[str, object]]:
        try:
            return rows_of(self.path / log, checking.way_back(self.path))
        except OSError as error:
            raise manifest.unreadable(self.path / log, error, self.path) from error

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise self._damage("a table of the run is missing", path) from None
        except OSError as error:
            if error.errno is not None:
                raise manifest.unreadable(path, error, self.path) from error
            raise self._damage(f"a table of the run is damaged: {str(error).splitlines()[0]}", path) from error
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise self._damage(f"a table of the run is damaged: {reason}", path) from error

    def _check_length(self, log: str) -> None:
        path, expected = self.path / log, self.state.counted_bytes(log)
        found = path.stat().st_size if path.exists() else 0
        if found < expected:
            raise self._damage(f"{log} has {found} bytes, {expected} were recorded", path)

    def _damage(self, what: str, path: Path) -> RunError:
        return RunError(what, where=str(path), fix=checking.way_back(self.path))
