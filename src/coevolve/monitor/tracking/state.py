"""How far a tracker is, kept beside the run's own files and outside everything that is hashed."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from coevolve.store import atomic


@dataclass(slots=True)
class TrackerState:
    """``RUN/track/NAME.json``."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    step: int = -1  # the last one that is stored; its line in metrics.jsonl, from 0
    fault: str | None = None  # why the last life of the tracker ended early


def state_file(run: Path, name: str) -> Path:
    """Where a tracker's state is kept."""
    return run / "track" / f"{name}.json"


def read_state(run: Path, name: str) -> TrackerState:
    """The state of a tracker; a new one where there is none or none that can be read."""
    try:
        found = TrackerState(**json.loads(state_file(run, name).read_bytes()))
    except (OSError, ValueError, TypeError):
        return TrackerState()
    return found


def write_state(run: Path, name: str, state: TrackerState) -> None:
    """Keep the state.

    Raises:
        OSError: the disk refuses.
    """
    atomic.replace_file(state_file(run, name), (json.dumps(asdict(state)) + "\n").encode())
