"""Writing into a run folder: every file whole or absent, what finished phases left untouched, time counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from coevolve.config import Config
from coevolve.errors import RunError
from coevolve.store import atomic, manifest, tables
from coevolve.store.lock import FolderLock
from coevolve.store.manifest import Manifest
from coevolve.store.records import RunRecords


class RunWriter(RunRecords):
    """What the one writer of a run may do to its files at any time."""

    def __init__(self, path: Path, config: Config, state: Manifest, lock: FolderLock | None) -> None:
        super().__init__(path, config, state)
        self._lock = lock
        self.store_s = 0.0  # seconds spent on writing, in this process
        self._storing = False

    def set_status(self, status: str, **facts: object) -> None:
        """Record how the run stands, and facts about it.

        Raises:
            RunError: the folder is open for reading only, or the disk refuses.
        """
        self._writable()
        self._save(self._state.model_copy(update={"status": status, **facts}))

    def write_table(self, relative: str, rows: Iterable[Mapping[str, object]]) -> Path:
        """Write rows as Parquet (zstd) and return the path; they may come from a generator and are not all held.

        Raises:
            RunError: the file belongs to a finished phase, or the disk refuses.
            ValueError: a value does not fit its column.
        """
        path = self._target(relative)
        with self._writing(path), atomic.replacing(path) as sink:
            tables.write(sink, relative, rows)
        return path

    def save_folder(self, relative: str, write: Callable[[Path], None]) -> Path:
        """Have ``write`` fill an empty folder and put it in place whole.

        Raises:
            RunError: the folder belongs to a finished phase, or the disk refuses.
        """
        path = self._target(relative)
        with self._writing(path):
            atomic.replace_folder(path, write)
        return path

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Count the block in ``store_s``; a block within a block counts once."""
        if self._storing:
            yield
            return
        self._storing, begin = True, perf_counter()
        try:
            yield
        finally:
            self._storing = False
            self.store_s += perf_counter() - begin

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        kept = f"everything up to {self.finished_phases[-1]}" if self._state.phases else "the configuration"
        fix = f"make room on the disk, then: coevolve resume {self.path}   ({kept} is kept)"
        with self.storing(), atomic.writing(path, fix):
            yield

    def _misuse(self, what: str, fix: str) -> RunError:
        return RunError(what, where=str(self.path), fix=fix)

    def _save(self, state: Manifest) -> None:
        data = manifest.to_json(state)
        for name in (manifest.NAME, manifest.COPY):
            with self._writing(self.path / name):
                atomic.replace_file(self.path / name, data)
            self._state = state  # also when only the copy cannot be written

    def _writable(self) -> None:
        if self._lock is None:
            raise self._misuse("the run is open for reading only", "open it with write=True")

    def _target(self, relative: str) -> Path:
        self._writable()
        if any(name == relative or name.startswith(relative + "/") for name in self.recorded()):
            raise self._misuse(f"a finished phase owns {relative}", "use another name")
        return self.path / relative
