"""``coevolve list``: the runs of a folder, a line each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.errors import CoevolveError, RunError
from coevolve.evaluation.report import HELD_OUT_ACCURACY
from coevolve.monitor.summary import logged
from coevolve.runs.existing import runs_below
from coevolve.store.records import RunRecords

DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Listed:
    """A run in the list.

    Args:
        run: its folder.
        status: how it stands, or damaged: then nothing else is known.
        iterations: that the run has in all.
        last: its last finished phase; empty before the first.
        held_out: accuracy of the newest solver that was measured, from 0 to 1.
    """

    run: str
    status: str
    method: str = ""
    preset: str = ""
    seed: int | None = None
    iterations: int | None = None
    last: str = ""
    held_out: float | None = None


def print_runs(folder: Path, *, as_json: bool) -> None:
    """Print them, the newest first.

    Raises:
        RunError: there is none.
    """
    found = [listed(path) for path in runs_below(folder)]
    if not found:
        raise RunError("there is no run here", where=str(folder), fix="name a folder of runs, or begin: coevolve run")
    if as_json:
        print(json.dumps([asdict(one) for one in found]))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("run", "status", "preset", "seed", "last finished", "held-out"):
        table.add_column(name, overflow="fold", justify="right" if name in ("seed", "held-out") else "left")
    for one in found:
        accuracy = "" if one.held_out is None else f"{100 * one.held_out:.1f} %"
        seed = "" if one.seed is None else str(one.seed)
        last = one.last.removeprefix("iteration-") + (f" of {one.iterations}" if one.last else "")
        table.add_row(*map(Text, (one.run, one.status, one.preset, seed, last, accuracy)))
    Console().print(table)


def listed(path: Path) -> Listed:
    """What manifest and logs say of a run."""
    try:
        records = RunRecords.open(path)
        config, done = records.config, records.finished_phases
        means = [mean for mean in HELD_OUT_ACCURACY.read(logged(records)) if mean is not None]
    except CoevolveError:
        return Listed(str(path), DAMAGED)
    return Listed(
        str(path),
        records.status,
        config.method,
        config.preset,
        config.seed,
        config.iterations,
        done[-1] if done else "",
        means[-1] if means else None,
    )
