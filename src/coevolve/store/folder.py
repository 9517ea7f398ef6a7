"""The run folder: the one truth about a run, whole after a kill at any instant.

Only what the manifest lists counts. A phase writes its files, then ``finish`` records their hashes and the
lengths of the logs in one atomic step. What a phase keeps on its way goes to ``partial/`` and is recorded in the
manifest's cursor. When a killed phase begins again, its log is cut off where the cursor says (else where the phase
began), and what it left beyond that is overwritten; so a resumed run has the same bytes as an unbroken one.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import coevolve
from coevolve.config import Config
from coevolve.errors import RunError
from coevolve.rollout.policy import ExtraState
from coevolve.store import atomic, manifest, places, settings, tables
from coevolve.store.lock import FolderLock
from coevolve.store.logs import OpenLog, line_of
from coevolve.store.manifest import METRICS, TIMINGS, Cursor, Manifest, PhaseRecord
from coevolve.store.records import RunRecords

_AGAIN = "make room on the disk, then run the same command again"
_PARTIAL = "partial"  # folder of what is kept of the phase in progress


class RunFolder:
    """A run that this process writes, made by ``create`` or ``open``; ``records`` reads it.

    Args:
        records: the run as it is.
        lock: held until ``close``.
    """

    def __init__(self, records: RunRecords, lock: FolderLock) -> None:
        self.records = records
        self.path, self.config = records.path, records.config
        self.store_s = 0.0  # seconds spent on writing, in this process
        self._storing = False
        self._lock: FolderLock | None = lock
        self.is_new = False  # whether this process made the run
        self._made: list[Path] = []  # folders that ``create`` made, the innermost first
        self._phase: str | None = None
        self._logs: dict[str, OpenLog] = {}

    @classmethod
    def create(cls, path: Path, config: Config) -> RunFolder:
        """Begin a run in a new or empty folder, or in one that a run left before anything of it counted.

        Raises:
            RunError: the folder holds something already, is in use, or cannot be written.
        """
        with atomic.writing(path, places.ELSEWHERE, places.ELSEWHERE):
            places.refuse_occupied(path)
            made = [folder for folder in (path, *path.parents) if not folder.exists()]
            with places.undoing(made):
                path.mkdir(parents=True, exist_ok=True)
                lock = FolderLock(path)
        try:
            with atomic.writing(path, places.ELSEWHERE, places.ELSEWHERE):
                places.refuse_occupied(path)
            with atomic.writing(path, _AGAIN), places.undoing(made, path):
                places.clear(path)
                folder = cls(_first_records(path, config), lock)
        except BaseException:
            lock.release()
            raise
        folder.is_new, folder._made = True, made
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Go on with a run that exists.

        Raises:
            RunError: no run, a damaged one, one of an older schema, or one that another process writes to.
        """
        # Before the lock file is made: a folder without a run, or with an old one, is left untouched.
        manifest.refuse_older(path, manifest.read(path))
        with atomic.writing(path, "choose a place that you can write to", _new_run(path)):
            lock = FolderLock(path)
        try:
            return cls(RunRecords.open(path), lock)
        except BaseException:
            lock.release()
            raise

    def set_status(self, status: str, **facts: object) -> None:
        """Record how the run stands, and facts about it.

        Raises:
            RunError: the folder is closed, or the disk refuses.
        """
        self._save(status=status, **facts)

    def begin(self, phase: str) -> None:
        """Start a phase, or go on with it where its cursor is; forget what was logged after that.

        Raises:
            RunError: the phase is finished already, or the disk refuses.
        """
        self._require_lock()
        state = self.records.state
        if self.records.is_done(phase):
            raise self._misuse(f"phase {phase} is finished already", "ask is_done first")
        self._close_logs()
        if state.cursor is not None and state.cursor.phase != phase:
            raise self._misuse(f"phase {state.cursor.phase} is in progress", "finish it first")
        for log in (METRICS, TIMINGS):
            with self._writing(self.path / log):
                self._logs[log] = OpenLog(self.path / log, state.finished_bytes(log), state.counted_bytes(log))
        self._remove_uncounted()
        self._phase = phase

    def log(self, row: Mapping[str, object]) -> None:
        """Add a line to metrics.jsonl: 6 significant digits, null for NaN, nothing that depends on the clock.

        Raises:
            RunError: no phase has begun, or the disk refuses.
        """
        self._append(METRICS, row)

    def log_timing(self, row: Mapping[str, object]) -> None:
        """Add a line to timings.jsonl, the log of everything that depends on the clock.

        Raises:
            RunError: no phase has begun, or the disk refuses.
        """
        self._append(TIMINGS, row)

    def read_table(self, relative: str) -> list[dict[str, object]]:
        """The rows of a Parquet file of this run, for phases; see :class:`RunRecords`.

        Raises:
            RunError: the file is missing or damaged, or is for measuring only.
        """
        return self.records.read_table(relative, for_learning=True)

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

    def finish(self, phase: str, files: Sequence[Path]) -> None:
        """Make a phase count, with these files and folders of the run.

        Raises:
            RunError: the phase had not begun, a file is missing, or the disk refuses.
        """
        if phase != self._phase:
            raise self._misuse(f"phase {phase} has not begun", "call begin first")
        for name, log in self._logs.items():
            with self._writing(self.path / name):
                log.flush()
        hashes = self._hashes(*files)
        metrics, timings = self._logs[METRICS], self._logs[TIMINGS]
        record = PhaseRecord(
            name=phase,
            files=hashes,
            metrics_bytes=metrics.length,
            metrics_sha256=metrics.sha256,
            timings_bytes=timings.length,
            timings_sha256=timings.sha256,
        )
        self._save(phases=[*self.records.state.phases, record], cursor=None)
        self._phase = None
        self._close_logs()
        self._remove_uncounted()

    def save_point(
        self,
        step: int,
        write: Callable[[Path], None],
        extra: ExtraState,
        times: Callable[[], Mapping[str, int | float]],
    ) -> None:
        """Make the steps of the phase up to here count: what they logged, and the folder that ``write`` fills.

        Args:
            step: finished steps.
            write: given an empty folder.
            extra: small numbers that belong to the folder.
            times: asked when the folder is written.

        Raises:
            RunError: no phase has begun, or the disk refuses; the save point before this one stays.
        """
        path = self._target(f"{_PARTIAL}/step-{step}")
        with self._writing(path):
            atomic.replace_folder(path, write)
        files = self._hashes(path)
        log = self._log_of(METRICS)
        with self._writing(self.path / METRICS):
            log.flush()
        self._move_cursor(
            metrics_bytes=log.length,
            metrics_sha256=log.sha256,
            step=step,
            files=files,
            memory=dict(extra),
            times=dict(times()),
        )
        self._remove_uncounted()

    def save_batch(
        self, name: str, rows: Iterable[Mapping[str, object]], times: Callable[[], Mapping[str, int | float]]
    ) -> None:
        """Keep a batch of rows until the phase is finished; what it logs counts from its start all the same.

        Args:
            name: what ``load_batch`` asks for.
            rows: the batch.
            times: asked when the rows are written.

        Raises:
            RunError: no phase has begun, or the disk refuses; what was saved before stays.
        """
        path = self.write_table(_batch_file(name), rows)
        earlier = self.records.cursor.files if self.records.cursor else {}
        self._move_cursor(
            metrics_bytes=self.records.state.finished_bytes(METRICS),
            metrics_sha256=hashlib.sha256().hexdigest(),
            files={**earlier, **self._hashes(path)},
            times=dict(times()),
        )

    def load_batch(self, name: str) -> list[dict[str, object]] | None:
        """The batch that was saved under this name in the phase in progress, None where none was.

        Raises:
            RunError: the file is missing or damaged.
        """
        cursor = self.records.cursor
        return self.read_table(_batch_file(name)) if cursor and _batch_file(name) in cursor.files else None

    @property
    def has_begun(self) -> bool:
        """Whether a phase was begun, in this process or in an earlier one."""
        return self._phase is not None or bool(self.records.state.phases) or self.records.cursor is not None

    def discard(self) -> None:
        """Leave nothing of a run that has not begun, and close it; folders that it found are not removed.

        Raises:
            RunError: it has begun, or the system refuses.
        """
        if self.has_begun:
            raise self._misuse("the run has begun", "it stays")
        with self._writing(self.path):
            places.remove(self._made, self.path)
        self.close()

    def close(self) -> None:
        """Give the lock back; what has not been finished is redone by the next writer."""
        self._close_logs()
        self._phase = None
        if self._lock:
            self._lock.release()
            self._lock = None

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
        done = self.records.finished_phases
        kept = f"everything up to {done[-1]}" if done else "the configuration"
        fix = f"make room on the disk, then: coevolve resume {self.path}   ({kept} is kept)"
        with self.storing(), atomic.writing(path, fix):
            yield

    def _append(self, name: str, row: Mapping[str, object]) -> None:
        log = self._log_of(name)
        with self._writing(self.path / name):
            log.append(line_of(row))

    def _log_of(self, name: str) -> OpenLog:
        if name not in self._logs:
            raise self._misuse(f"{name} takes lines only while a phase is in progress", "call begin first")
        return self._logs[name]

    def _hashes(self, *entries: Path) -> dict[str, str]:
        """SHA-256 of files, and of all files in folders, by their relative paths in order."""
        hashes: dict[str, str] = {}
        for file in sorted(inner for entry in entries for inner in _files_of(entry)):
            with self._writing(file):
                hashes[file.relative_to(self.path).as_posix()] = atomic.digest(file)
        return hashes

    def _save(self, **changes: object) -> None:
        """Make this the manifest, with its copy."""
        self._require_lock()
        state = self.records.state.model_copy(update=changes)
        data = manifest.to_json(state)
        for name in (manifest.NAME, manifest.COPY):
            with self._writing(self.path / name):
                atomic.replace_file(self.path / name, data)
            self.records.state = state  # also when only the copy cannot be written

    def _move_cursor(self, **cursor: object) -> None:
        """Say how far the phase in progress is."""
        self._save(cursor=Cursor.model_validate({"phase": self._phase, **cursor}))

    def _remove_uncounted(self) -> None:
        """Remove from ``partial/`` what does not count (any more)."""
        folder, cursor = self.path / _PARTIAL, self.records.cursor
        if cursor is None:
            shutil.rmtree(folder, ignore_errors=True)
            return
        with self._writing(folder):
            counted = {Path(name).parts[1] for name in cursor.files}
            for entry in folder.iterdir():
                if entry.name in counted:
                    continue
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()

    def _close_logs(self) -> None:
        for log in self._logs.values():
            log.close()
        self._logs.clear()

    def _require_lock(self) -> None:
        if self._lock is None:
            raise self._misuse("the run is closed", "open it again")

    def _target(self, relative: str) -> Path:
        self._require_lock()
        if any(name == relative or name.startswith(relative + "/") for name in self.records.recorded()):
            raise self._misuse(f"a finished phase owns {relative}", "use another name")
        return self.path / relative

    def _misuse(self, what: str, fix: str) -> RunError:
        return RunError(what, where=str(self.path), fix=fix)


def _first_records(path: Path, config: Config) -> RunRecords:
    """Write the configuration and the first manifest of a run."""
    values = config.model_dump()
    text = settings.to_yaml(values)
    state = Manifest(
        coevolve=coevolve.__version__,
        method=config.method,
        preset=config.preset,
        seed=config.seed,
        status="running",
        config_sha256=hashlib.sha256(text).hexdigest(),
        config=values,
        phases=[],
    )
    atomic.replace_file(path / settings.NAME, text)
    manifest.save(path, state)
    return RunRecords(path, config, state)


def _new_run(path: Path) -> str:
    return f"begin a run of your own with its settings: coevolve run --config {path / settings.NAME} --set run.dir=NEW"


def _files_of(entry: Path) -> list[Path]:
    """A file itself, or all files in a folder; a missing one is named when it is read."""
    return [file for file in entry.rglob("*") if file.is_file()] if entry.is_dir() else [entry]


def _batch_file(name: str) -> str:
    return f"{_PARTIAL}/{name}.parquet"
