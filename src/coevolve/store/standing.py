"""How a run stands: what its manifest says, corrected by whether a process works on it."""

from __future__ import annotations

from pathlib import Path

from coevolve.store.lock import is_held

RUNNING, FINISHED, FAILED, INTERRUPTED, STOPPED = "running", "finished", "failed", "interrupted", "stopped"


def standing(folder: Path, written: str) -> str:
    """``running``, ``finished``, ``failed``, ``interrupted`` or ``stopped``.

    A process that holds the lock is at work, also while it takes up a run that had failed. A run that says that it is
    running while nobody holds its lock was killed: it is stopped.

    Args:
        folder: the run folder.
        written: the status in its manifest.
    """
    if written == FINISHED:
        return written
    if is_held(folder):
        return RUNNING
    return written if written in (FAILED, INTERRUPTED) else STOPPED
