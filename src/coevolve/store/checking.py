"""What is intact in a run folder, file by file, also where the run could not be opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from coevolve import permissions
from coevolve.errors import RunError
from coevolve.store import atomic, manifest, settings
from coevolve.store.manifest import METRICS, TIMINGS, Manifest

_KINDS = {"checkpoints": "checkpoint", "partial": "kept of the phase in progress"}  # else the folder's own name


@dataclass(frozen=True, slots=True)
class Finding:
    """A file, or the lines that a phase added to a log, compared with its hash.

    Args:
        phase: index of the phase that wrote it among the finished ones, their number for the phase in progress, and
            None for what belongs to the run as a whole.
        fault: what is wrong; None where it is intact.
        access: what to do so that it can be read, where it could not: then nothing says whether it is intact.
    """

    file: str
    kind: str
    phase: int | None
    fault: str | None = None
    access: str | None = None

    @property
    def is_damaged(self) -> bool:
        """Whether it is known not to be what was written."""
        return self.fault is not None and self.access is None


def examine(folder: Path) -> tuple[Manifest | None, list[Finding]]:
    """The manifest that counts (the copy where only that is intact), and every file that it lists.

    Raises:
        RunError: there is no run, or one of another version.
    """
    state, found = _manifests(folder)
    if state is None:
        return None, found
    return state, [*found, _configuration(folder, state), *_files(folder, state), *_logs(folder, state)]


def verify(folder: Path, state: Manifest, prefix: str = "") -> None:
    """Compare the files of finished phases that start with ``prefix`` with their hashes.

    Raises:
        RunError: a file is missing or was changed.
    """
    _refuse_faults(folder, state, _finished_files(folder, state, prefix))


def verify_all(folder: Path, state: Manifest) -> None:
    """Compare everything that counts with its hashes: files of finished phases, both logs, the phase in progress.

    Raises:
        RunError: a file is missing or was changed.
    """
    _refuse_faults(folder, state, chain(_files(folder, state), _logs(folder, state)))


def way_back(folder: Path) -> str:
    """What to do about damage."""
    return (
        f"see what a repair would undo: coevolve doctor {folder}   then: coevolve doctor {folder} --repair   and on "
        f"from there to the same result: coevolve resume {folder}"
    )


def _refuse_faults(folder: Path, state: Manifest, findings: Iterable[Finding]) -> None:
    names = [phase.name for phase in state.phases] + ([state.cursor.phase] if state.cursor else [])
    for one in findings:
        if one.fault is not None and one.phase is not None:
            what, where = f"what {names[one.phase]} wrote {one.fault}", str(folder / one.file)
            if one.access is not None:
                raise manifest.Unreadable(what, where=where, fix=one.access)
            raise RunError(what, where=where, fix=way_back(folder))


def _manifests(folder: Path) -> tuple[Manifest | None, list[Finding]]:
    """The two manifests; a kill can come before the first copy is written."""
    states: list[Manifest] = []
    found = []
    for name, read in ((manifest.NAME, manifest.read), (manifest.COPY, manifest.read_copy)):
        try:
            states.append(read(folder))
            found.append(Finding(name, "manifest", None))
        except manifest.Unreadable as error:
            found.append(Finding(name, "manifest", None, error.what.removeprefix(f"{name} "), error.fix))
        except manifest.DamagedManifest as error:
            if name == manifest.NAME or (folder / name).exists():
                found.append(Finding(name, "manifest", None, error.what.partition(": ")[2]))
    return (states[0] if states else None), found


def _configuration(folder: Path, state: Manifest) -> Finding:
    return Finding(settings.NAME, "configuration", None, *_fault(folder, settings.NAME, state.config_sha256))


def _files(folder: Path, state: Manifest) -> Iterator[Finding]:
    """The files of finished phases, then what is kept of the phase in progress."""
    yield from _finished_files(folder, state)
    if state.cursor is not None:
        for name, expected in state.cursor.files.items():
            yield _file(folder, name, expected, len(state.phases))


def _finished_files(folder: Path, state: Manifest, prefix: str = "") -> Iterator[Finding]:
    for index, phase in enumerate(state.phases):
        for name, expected in phase.files.items():
            if name.startswith(prefix):
                yield _file(folder, name, expected, index)


def _file(folder: Path, name: str, expected: str, phase: int) -> Finding:
    top = name.partition("/")[0]
    return Finding(name, _KINDS.get(top, top), phase, *_fault(folder, name, expected))


def _logs(folder: Path, state: Manifest) -> Iterator[Finding]:
    """Both logs, phase by phase."""
    for log in (METRICS, TIMINGS):
        begin = 0
        for index, phase in enumerate(state.phases):
            end, expected = phase.end_of(log), phase.sha256_of(log)
            yield _lines(folder, log, begin, end, expected, index)
            begin = end
        if state.cursor is not None and log == METRICS:
            cursor = state.cursor
            yield _lines(folder, log, begin, cursor.metrics_bytes, cursor.metrics_sha256, len(state.phases))


def _lines(folder: Path, log: str, begin: int, end: int, expected: str, phase: int) -> Finding:
    return Finding(log, "log", phase, *(_INTACT if begin == end else _fault(folder, log, expected, begin, end)))


_INTACT = (None, None)


def _fault(
    folder: Path, name: str, expected: str, begin: int = 0, end: int | None = None
) -> tuple[str | None, str | None]:
    """What is wrong with a file, or its bytes from ``begin`` to ``end``, and how it could be read if it was not."""
    path = folder / name
    try:
        intact = atomic.digest(path, begin, end) == expected
    except FileNotFoundError:
        return "is missing", None
    except OSError as error:
        refusal = permissions.reading(path, error, folder)
        return refusal.what, refusal.fix
    if intact:
        return _INTACT
    return ("was changed" if end is None else "was changed or cut off"), None
