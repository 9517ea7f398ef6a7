"""``coevolve run`` and ``coevolve resume``: start the driver, then say what came of it."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from coevolve.commands import faults
from coevolve.commands.plan import plan_json, print_costs, print_memory, print_settings
from coevolve.commands.results import print_ending
from coevolve.config import Config
from coevolve.errors import RunError
from coevolve.monitor.progress import progress_for
from coevolve.store import manifest
from coevolve.store.places import is_stub
from coevolve.system import usable_cores

RUNS = Path("runs")


def show_plan(config: Config, *, as_json: bool) -> None:
    """``--dry-run``."""
    from coevolve.runs.estimate import fit_here
    from coevolve.runs.plan import planned, shape_of, workload
    from coevolve.worlds.registry import world_named

    phases, fit = planned(config), fit_here(shape_of(config), workload(config))
    if as_json:
        print(plan_json(config.model_dump(), phases, fit))
        return
    console, engine = Console(), config.engine
    timed = engine.device == "cpu" and world_named(config.world).sizes is not None
    print_settings(console, config.model_dump())
    print_costs(console, phases, usable_cores(), timed=timed)
    if not timed:
        print_memory(console, engine, config.model.path or "the base model", fit)


def start_run(config: Config, *, quiet: bool, as_json: bool) -> None:
    """A new run, from nothing to its report."""
    from coevolve.runs import driver

    progress = progress_for(Console(), quiet=quiet or as_json)
    try:
        run = driver.start(config, progress, faults.working_on)
    finally:
        progress.close()
    _conclude(run, quiet=quiet, as_json=as_json)


def resume_run(run: Path | None, *, quiet: bool, as_json: bool) -> None:
    """Go on with a run, or with the newest one that is not finished.

    Raises:
        RunError: no run was named and none is unfinished.
    """
    if run is None:
        candidates = unfinished_runs()
        if not candidates:
            raise RunError("there is no unfinished run", where=str(RUNS), fix="name one: coevolve resume RUN")
        run = candidates[0]
    manifest.read(run)  # a wrong name should not wait for the imports below
    from coevolve.runs import driver

    faults.working_on(run)
    progress = progress_for(Console(), quiet=quiet or as_json)
    try:
        driver.resume(run, progress)
    finally:
        progress.close()
    _conclude(run, quiet=quiet, as_json=as_json)


def unfinished_runs() -> list[Path]:
    """Runs under ``runs/`` that can go on, the one that was written to last first; no starts that came to nothing."""
    found = []
    for path in RUNS.glob(f"*/{manifest.NAME}"):
        try:
            state = manifest.read(path.parent)
            if state.status != "finished" and state.schema_ == manifest.SCHEMA and not is_stub(path.parent):
                found.append((path.stat().st_mtime, path.parent))
        except RunError:
            continue  # a damaged run cannot go on; naming it says why
    return [path for _, path in sorted(found, reverse=True)]


def _conclude(run: Path, *, quiet: bool, as_json: bool) -> None:
    from coevolve.monitor.summary import summarise
    from coevolve.report.build import build_report

    report, summary = build_report(run), summarise(run)
    if as_json:
        print(json.dumps({"run": str(run), "report": str(report), "summary": summary}))
    elif not quiet:
        print_ending(Console(), run, report, summary)
