"""The run folder: the one truth about a run, whole after a kill at any instant.

Only what the manifest lists counts. A phase writes its files, then ``finish`` records their hashes and the
lengths of the logs in one atomic step. What a phase keeps on its way goes to ``partial/`` and is recorded in the
manifest's cursor. When a killed phase begins again, its log is cut off where the cursor says (else where the phase
began), and what it left beyond that is overwritten; so a resumed run has the same bytes as an unbroken one.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import coevolve
from coevolve.config import Config
from coevolve.rollout.policy import ExtraState
from coevolve.store import atomic, manifest, settings
from coevolve.store.lock import FolderLock
from coevolve.store.logs import OpenLog, line_of
from coevolve.store.manifest import Cursor, Manifest, PhaseRecord
from coevolve.store.records import METRICS, PARTIAL, TIMINGS
from coevolve.store.writer import RunWriter


class RunFolder(RunWriter):
    """One run on the disk, made by ``create`` or ``open``; many may read it while one writes."""

    def __init__(self, path: Path, config: Config, state: Manifest, lock: FolderLock | None) -> None:
        super().__init__(path, config, state, lock)
        self._phase: str | None = None
        self._logs: dict[str, OpenLog] = {}

    @classmethod
    def create(cls, path: Path, config: Config) -> RunFolder:
        """Begin a run in a new or empty folder, or in one that a run left before it had begun.

        Raises:
            RunError: the folder holds something already, is in use, or cannot be written.
        """
        with atomic.writing(path, "choose a place that you can write to: --set run.dir=..."):
            path.mkdir(parents=True, exist_ok=True)
            settings.refuse_occupied(path)
            lock = FolderLock(path)
        try:
            settings.refuse_occupied(path)
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
            with atomic.writing(path, "make room on the disk, then run the same command again"):
                atomic.replace_file(path / settings.NAME, text)
                manifest.save(path, state)
        except BaseException:
            lock.release()
            raise
        return cls(path, config, state, lock)

    @classmethod
    def open(cls, path: Path, *, write: bool) -> RunFolder:
        """Open a run that exists; only a writer takes the lock.

        Raises:
            RunError: no run, a damaged one, one of a schema that is not read or (by a writer) written, or one that
                another process writes to.
        """
        state = manifest.read(path)  # before the lock file is made: a folder without a run is left untouched
        if write:
            manifest.refuse_older(path, state)
        with atomic.writing(path, "choose a place that you can write to"):
            lock = FolderLock(path) if write else None
        try:
            state = manifest.read(path)
            return cls(path, settings.read(path, state), state, lock)
        except BaseException:
            if lock:
                lock.release()
            raise

    def begin(self, phase: str) -> None:
        """Start a phase, or take it up where its cursor is; forget what was logged after that.

        Raises:
            RunError: the phase is finished already, or the disk refuses.
        """
        self._writable()
        if self.is_done(phase):
            raise self._misuse(f"phase {phase} is finished already", "ask is_done first")
        self._close_logs()
        cursor = self.cursor
        if cursor is not None and cursor.phase != phase:
            raise self._misuse(f"phase {cursor.phase} is in progress", "finish it first")
        for name in (METRICS, TIMINGS):
            begin = self._length(name)
            length = cursor.metrics_bytes if cursor is not None and name == METRICS else begin
            with self._writing(self.path / name):
                self._logs[name] = OpenLog(self.path / name, begin, length)
        self._tidy()
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
        hashes: dict[str, str] = {}
        for file in sorted(inner for entry in files for inner in _files_of(entry)):
            with self._writing(file):
                hashes[file.relative_to(self.path).as_posix()] = atomic.digest(file)
        metrics, timings = self._logs[METRICS], self._logs[TIMINGS]
        record = PhaseRecord(
            name=phase,
            files=hashes,
            metrics_bytes=metrics.length,
            metrics_sha256=metrics.sha256,
            timings_bytes=timings.length,
            timings_sha256=timings.sha256,
        )
        self._save(self._state.model_copy(update={"phases": [*self._state.phases, record], "cursor": None}))
        self._phase = None
        self._close_logs()
        self._tidy()

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
        path = self._target(f"{PARTIAL}/step-{step}")
        with self._writing(path):
            atomic.replace_folder(path, write)
            files = {file.relative_to(self.path).as_posix(): atomic.digest(file) for file in sorted(_files_of(path))}
        with self._writing(self.path / METRICS):
            self._log_of(METRICS).flush()
        log = self._log_of(METRICS)
        self._advance(
            metrics_bytes=log.length,
            metrics_sha256=log.sha256,
            step=step,
            files=files,
            memory=dict(extra),
            times=dict(times()),
        )
        self._tidy()

    def keep_rows(
        self, name: str, rows: Iterable[Mapping[str, object]], times: Callable[[], Mapping[str, int | float]]
    ) -> None:
        """Keep rows under a name until the phase is finished; what it logs counts from its start all the same.

        Args:
            times: asked when the rows are written.

        Raises:
            RunError: no phase has begun, or the disk refuses; what was kept before stays.
        """
        path = self.write_table(_kept(name), rows)
        with self._writing(path):
            files = {**(self.cursor.files if self.cursor else {}), _kept(name): atomic.digest(path)}
        self._advance(
            metrics_bytes=self._length(METRICS),
            metrics_sha256=hashlib.sha256().hexdigest(),
            files=files,
            times=dict(times()),
        )

    def kept_rows(self, name: str) -> list[dict[str, object]] | None:
        """What was kept under this name of the phase in progress, None where nothing was.

        Raises:
            RunError: the file is missing or damaged.
        """
        found = self.cursor is not None and _kept(name) in self.cursor.files
        return self.read_table(_kept(name)) if found else None

    def close(self) -> None:
        """Give the lock back; what has not been finished is redone by the next writer."""
        self._close_logs()
        self._phase = None
        if self._lock:
            self._lock.release()
            self._lock = None

    def _append(self, name: str, row: Mapping[str, object]) -> None:
        log = self._log_of(name)
        with self._writing(self.path / name):
            log.append(line_of(row))

    def _log_of(self, name: str) -> OpenLog:
        if name not in self._logs:
            raise self._misuse(f"{name} takes lines only while a phase is in progress", "call begin first")
        return self._logs[name]

    def _advance(self, **cursor: object) -> None:
        """Move the cursor of the phase in progress."""
        self._save(self._state.model_copy(update={"cursor": Cursor.model_validate({"phase": self._phase, **cursor})}))

    def _tidy(self) -> None:
        """Remove from ``partial/`` what does not count (any more)."""
        folder = self.path / PARTIAL
        if self.cursor is None:
            shutil.rmtree(folder, ignore_errors=True)
            return
        with self._writing(folder):
            counted = {Path(name).parts[1] for name in self.cursor.files}
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


def _files_of(entry: Path) -> list[Path]:
    """A file itself, or all files in a folder; a missing one is named when it is read."""
    return [file for file in entry.rglob("*") if file.is_file()] if entry.is_dir() else [entry]


def _kept(name: str) -> str:
    return f"{PARTIAL}/{name}.parquet"
