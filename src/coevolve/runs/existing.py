"""Which runs there are."""

from __future__ import annotations

from pathlib import Path

from coevolve.errors import RunError
from coevolve.store import manifest

RUNS = Path("runs")


def runs_below(folder: Path = RUNS) -> list[Path]:
    """Folders of runs directly below a folder, intact or not, the one that was written to last first."""
    found = [(file.stat().st_mtime, file.parent) for file in folder.glob(f"*/{manifest.NAME}")]
    return [path for _, path in sorted(found, reverse=True)]


def newest_run(folder: Path = RUNS) -> Path:
    """The run that was written to last, finished or not.

    Raises:
        RunError: there is none.
    """
    found = runs_below(folder)
    if not found:
        raise RunError("there is no run here", where=str(folder), fix="name the folder of one, or begin: coevolve run")
    return found[0]
