"""``coevolve export``: write the folders, then say where they are and how one would push them."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from coevolve.export.folders import Exported, export


def run(path: Path, to: Path, what: str, iteration: int | None, *, merge: bool, as_json: bool) -> None:
    """Export, then print a line per folder, or one JSON object."""
    done = export(path, to, [kind.strip() for kind in what.split(",") if kind.strip()], iteration, merge=merge)
    if as_json:
        print(json.dumps(_as_json(done)))
        return
    console = Console()
    lines = [f"{name:9} {folder}" for name, folder in done.folders.items()]
    lines += [f"note: {note}" for note in done.notes]
    lines += ["nothing was uploaded; to push what you have looked at:"]
    lines += [f"  {command}" for command in done.commands]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _as_json(done: Exported) -> dict[str, object]:
    return {
        "folders": {name: str(folder) for name, folder in done.folders.items()},
        "iteration": done.iteration,
        "notes": list(done.notes),
        "commands": list(done.commands),
    }
