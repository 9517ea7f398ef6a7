"""What is intact in a run folder, file by file, also where the run could not be opened."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coevolve.store import atomic, manifest, settings
from coevolve.store.manifest import Manifest
from coevolve.store.records import METRICS, TIMINGS

_KINDS = {"checkpoints": "checkpoint", "partial": "kept of the phase in progress"}  # else the folder's own name


@dataclass(frozen=True, slots=True)
class Finding:
    """A file, or the lines that a phase added to a log, compared with its hash.

    ``phase`` is the place of the phase that wrote it among the finished ones, their number for what is kept of the
    phase in progress, and None for what belongs to the run as a whole.
    """

    file: str
    kind: str
    phase: int | None
    fault: str | None = None  # None: intact


def examine(folder: Path) -> tuple[Manifest | None, list[Finding]]:
    """The manifest that counts (the copy where only that is intact), and every file that it knows.

    Raises:
        RunError: there is no run, or one of another version.
    """
    state, found = _manifests(folder)
    if state is None:
        return None, found
    found.append(_configuration(folder, state))
    for place, phase in enumerate(state.phases):
        found += [_file(folder, name, expected, place) for name, expected in phase.files.items()]
    found += _logs(folder, state)
    if state.cursor is not None:
        place = len(state.phases)
        found += [_file(folder, name, expected, place) for name, expected in state.cursor.files.items()]
    return state, found


def _manifests(folder: Path) -> tuple[Manifest | None, list[Finding]]:
    """The two manifests; a kill can come before the first copy is written."""
    states: list[Manifest] = []
    found = []
    for name, read in ((manifest.NAME, manifest.read), (manifest.COPY, manifest.read_copy)):
        try:
            states.append(read(folder))
            found.append(Finding(name, "manifest", None))
        except manifest.DamagedManifest as error:
            if name == manifest.NAME or (folder / name).exists():
                found.append(Finding(name, "manifest", None, error.what.partition(": ")[2]))
    return (states[0] if states else None), found


def _configuration(folder: Path, state: Manifest) -> Finding:
    try:
        text = (folder / settings.NAME).read_bytes()
    except OSError as error:
        return Finding(settings.NAME, "configuration", None, f"cannot be read: {error.strerror}")
    changed = hashlib.sha256(text).hexdigest() != state.config_sha256
    return Finding(settings.NAME, "configuration", None, "was changed" if changed else None)


def _file(folder: Path, name: str, expected: str, phase: int) -> Finding:
    top = name.partition("/")[0]
    try:
        fault = None if atomic.digest(folder / name) == expected else "was changed"
    except FileNotFoundError:
        fault = "is missing"
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    return Finding(name, _KINDS.get(top, top), phase, fault)


def _logs(folder: Path, state: Manifest) -> Iterator[Finding]:
    """Both logs, phase by phase."""
    for name in (METRICS, TIMINGS):
        begin = 0
        for place, phase in enumerate(state.phases):
            end, expected = (
                (phase.metrics_bytes, phase.metrics_sha256)
                if name == METRICS
                else (phase.timings_bytes, phase.timings_sha256)
            )
            yield _lines(folder, name, begin, end, expected, place)
            begin = end
        if state.cursor is not None and name == METRICS:
            cursor = state.cursor
            yield _lines(folder, name, begin, cursor.metrics_bytes, cursor.metrics_sha256, len(state.phases))


def _lines(folder: Path, name: str, begin: int, end: int, expected: str, phase: int) -> Finding:
    if begin == end:
        return Finding(name, "log", phase)
    try:
        fault = None if atomic.digest(folder / name, begin, end) == expected else "lines were changed or lost"
    except FileNotFoundError:
        fault = "is missing"
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    return Finding(name, "log", phase, fault)
