"""The manifest of a run folder: which phases are finished, and exactly which bytes they left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

import coevolve
from coevolve.errors import RunError

NAME = "manifest.json"
SCHEMA = 2


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


class Cursor(BaseModel):
    """How far the phase in progress is, for a process that takes it up."""

    model_config = ConfigDict(extra="forbid", strict=True)
    phase: str
    step: int = 0  # finished steps
    files: dict[str, str] = {}  # what is kept of them, with SHA-256
    metrics_bytes: int  # with the lines of the finished steps
    metrics_sha256: str  # of the lines that the phase has added up to there
    memory: dict[str, int | list[float]] = {}  # of the policy in training
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
    phases: list[PhaseRecord]
    cursor: Cursor | None = None


def to_json(manifest: Manifest) -> bytes:
    """The manifest as it is stored."""
    content = manifest.model_dump()
    return (json.dumps({"schema": content.pop("schema_"), **content}, indent=1) + "\n").encode()


def read(folder: Path) -> Manifest:
    """The manifest of a run folder.

    Raises:
        RunError: there is none, it is damaged, or a newer coevolve wrote it.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise _absent(folder) from None
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(content, dict) or not isinstance(content.get("schema"), int):
        raise _damaged(path, "it has no schema number")
    if content["schema"] != SCHEMA:
        raise _other_version(path, content)
    try:
        return Manifest.model_validate({"schema_": content.pop("schema"), **content})
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


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


def _damaged(path: Path, reason: object) -> RunError:
    return RunError(
        f"the manifest is damaged: {reason}",
        where=str(path),
        fix=f"put {NAME} back from a copy, or start a new run; one with the same seed gives the same result",
    )


def _other_version(path: Path, content: Mapping[str, object]) -> RunError:
    return RunError(
        f"the run was written by coevolve {content.get('coevolve', '(unknown)')} with schema "
        f"{content['schema']}; this is coevolve {coevolve.__version__}, which reads schema {SCHEMA}",
        where=str(path),
        fix=f"use that version: pip install 'coevolve=={content.get('coevolve', '...')}'",
    )
