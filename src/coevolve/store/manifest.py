"""The manifest of a run folder: which phases are finished, and exactly which bytes they left.

It carries its own SHA-256 and is kept twice: what one disk block loses, the copy still has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

import coevolve
from coevolve import permissions
from coevolve.config.keys import OTHER_NAMES, RENAMED_SECTIONS
from coevolve.errors import RunError
from coevolve.store import atomic

NAME = "manifest.json"
COPY = "manifest.copy.json"
METRICS: str = "metrics.jsonl"
TIMINGS: str = "timings.jsonl"  # the two logs
SCHEMA = 3  # what is written
READABLE = (2, SCHEMA)


class DamagedManifest(RunError):
    """It is there, but it cannot be what was written."""


class Unreadable(RunError):
    """A file of a run that is there and cannot be read, by this user or just now: nothing says that it is damaged."""


def unreadable(path: Path, error: OSError, folder: Path) -> Unreadable:
    """What to say of a file of a run folder that could not be read."""
    refusal = permissions.reading(path, error, folder)
    return Unreadable(f"{path.name} {refusal.what}", where=str(path), fix=refusal.fix)


class PhaseRecord(BaseModel):
    """A finished phase: its files with their SHA-256; the lengths of the two logs when it ended, and the SHA-256 of the
    lines that the phase itself added."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    files: dict[str, str]
    metrics_bytes: int
    metrics_sha256: str
    timings_bytes: int
    timings_sha256: str

    def end_of(self, log: str) -> int:
        """Length of a log when the phase ended."""
        return self.metrics_bytes if log == METRICS else self.timings_bytes

    def sha256_of(self, log: str) -> str:
        """Of the lines that the phase added to a log."""
        return self.metrics_sha256 if log == METRICS else self.timings_sha256


class Cursor(BaseModel):
    """How far the phase in progress is, for a process that goes on with it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    phase: str
    step: int = 0  # finished steps
    files: dict[str, str] = {}  # what is kept of them, with SHA-256
    metrics_bytes: int  # with the lines of the finished steps
    metrics_sha256: str  # of the lines that the phase has added up to there
    memory: dict[str, int | list[float] | dict[str, float]] = {}  # of the policy in training
    times: dict[str, int | float] = {}  # spent so far, as in timings.jsonl


class Manifest(BaseModel):
    """The one file that says what counts in a run folder; facts about the run are kept as extra keys."""

    model_config = ConfigDict(extra="allow", strict=True)
    schema_: int = SCHEMA
    coevolve: str
    method: str
    preset: str
    seed: int
    status: str
    config_sha256: str
    config: dict[str, Any]  # what config.yaml says, under the names of its schema, so that it can be written again
    phases: list[PhaseRecord]
    cursor: Cursor | None = None

    def finished_bytes(self, log: str) -> int:
        """Length of a log with the lines of finished phases."""
        return self.phases[-1].end_of(log) if self.phases else 0

    def counted_bytes(self, log: str) -> int:
        """Length of a log with all that counts: finished phases, and what the cursor has of the phase in progress."""
        return self.cursor.metrics_bytes if self.cursor and log == METRICS else self.finished_bytes(log)


def translated(config: Mapping[str, Any], schema: int) -> dict[str, Any]:
    """A configuration that was stored with this schema, under the names of today."""
    sections = RENAMED_SECTIONS if schema < SCHEMA else {}
    found = {sections.get(section, section): value for section, value in config.items()}
    for old, new in OTHER_NAMES.items():
        section, _, key = old.partition(".")
        if isinstance(inside := found.get(section), Mapping) and key in inside:
            name = new.partition(".")[2]
            found[section] = {name if one == key else one: value for one, value in inside.items()}
    return found


def refuse_older(folder: Path, state: Manifest) -> None:
    """Let only a run of this schema be written to; older ones are read, and stay as they are.

    Raises:
        RunError: it has an older schema.
    """
    if state.schema_ != SCHEMA:
        names = ", ".join(f"{old} to {new}" for old, new in RENAMED_SECTIONS.items())
        raise RunError(
            f"this run has schema {state.schema_}, which can be read but not gone on with: that needs schema {SCHEMA}",
            where=str(folder / NAME),
            fix=f"go on with the coevolve {state.coevolve} that began it, or make a new run: rename in a copy of "
            f"config.yaml the sections {names}, then: coevolve run --config COPY --set run.dir=NEW",
        )


def to_json(manifest: Manifest) -> bytes:
    """The manifest as it is stored."""
    content = manifest.model_dump()
    schema = content.pop("schema_")
    digest = hashlib.sha256(json.dumps([schema, content]).encode()).hexdigest()
    return (json.dumps({"schema": schema, "sha256": digest, **content}, indent=1) + "\n").encode()


def save(folder: Path, manifest: Manifest) -> None:
    """Make this the manifest in one step, then its copy.

    Raises:
        OSError: the system refused; the manifest is the old one or the new one.
    """
    data = to_json(manifest)
    atomic.replace_file(folder / NAME, data)
    atomic.replace_file(folder / COPY, data)


def read(folder: Path) -> Manifest:
    """The manifest of a run folder.

    Raises:
        RunError: there is none, it is damaged, or another version of coevolve wrote it.
    """
    path = folder / NAME
    if not _exists(path, folder) and not _exists(folder / COPY, folder):
        raise _absent(folder)
    data, content = _content(path)
    if content["schema"] in READABLE:
        return _checked(path, data, content)
    try:
        read_copy(folder)
    except RunError:
        raise _other_version(path, content) from None
    raise _damaged(path, "it has another schema number than its copy")


def read_copy(folder: Path) -> Manifest:
    """The copy of the manifest; after a kill it may be one step older, which does no harm.

    Raises:
        RunError: there is none, it is damaged, or another version of coevolve wrote it.
    """
    path = folder / COPY
    data, content = _content(path)
    if content["schema"] not in READABLE:
        raise _other_version(path, content)
    return _checked(path, data, content)


def _exists(path: Path, folder: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise unreadable(path, error, folder) from error


def _content(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes of the file and what they say, from one reading: the run may replace the file at any moment."""
    try:
        data = path.read_bytes()
        content = json.loads(data)
    except FileNotFoundError as error:
        raise _damaged(path, error.strerror) from error
    except OSError as error:
        raise unreadable(path, error, path.parent) from error
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(content, dict) or not isinstance(content.get("schema"), int):
        raise _damaged(path, "it has no schema number")
    return data, content


def _checked(path: Path, data: bytes, content: dict[str, Any]) -> Manifest:
    """The manifest with this content, if writing it again gives the very same bytes, checksum included."""
    try:
        parts = {key: value for key, value in content.items() if key not in ("schema", "sha256")}
        found = Manifest.model_validate({"schema_": content["schema"], **parts})
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if to_json(found) != data:
        raise _damaged(path, "its checksum is another")
    return found


def _absent(folder: Path) -> RunError:
    if not folder.is_dir():
        return RunError("there is no such run folder", where=str(folder), fix="list the runs: ls runs")
    if not (folder / ".lock").exists():
        return RunError("this folder holds no run", where=str(folder), fix="list the runs: ls runs")
    return RunError(
        f"this run was stopped before it had begun: it has no {NAME}",
        where=str(folder),
        fix=f"start it again in the same folder: coevolve run --set run.dir={folder}",
    )


def _damaged(path: Path, reason: object) -> DamagedManifest:
    return DamagedManifest(
        f"the manifest is damaged: {reason}",
        where=str(path),
        fix=f"see what is intact: coevolve doctor {path.parent}   then: coevolve doctor {path.parent} --repair",
    )


def _other_version(path: Path, content: Mapping[str, object]) -> RunError:
    return RunError(
        f"the run was written by coevolve {content.get('coevolve', '(unknown)')} with schema "
        f"{content['schema']}; this is coevolve {coevolve.__version__}, which reads schema "
        f"{' and '.join(map(str, READABLE))}",
        where=str(path),
        fix=f"use that version: pip install 'coevolve=={content.get('coevolve', '...')}'",
    )
