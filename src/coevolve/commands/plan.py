"""``--dry-run``: the resolved configuration and what the run would cost. No model is loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence

import yaml
from rich.console import Console
from rich.table import Table

from coevolve.config import Config
from coevolve.runs.plan import PlannedPhase
from coevolve.runs.progress import duration

MEGABYTE = 1_000_000


def print_plan(console: Console, config: Config, phases: Sequence[PlannedPhase], cores: int) -> None:
    """The resolved configuration as YAML (usable with ``--config``), then the plan as a table."""
    console.print(yaml.safe_dump(config.model_dump(), sort_keys=False), markup=False, highlight=False, soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("phase", no_wrap=True)
    for heading in ("texts", "tokens sampled", "tokens trained", "CPU", "disk"):
        table.add_column(heading, justify="right")
    for phase in phases:
        table.add_row(phase.name, *_cells([phase]))
    table.add_row("total", *_cells(phases), style="bold")
    console.print(table)
    seconds = sum(phase.cpu_s for phase in phases)
    console.print(
        f"about {duration(seconds)} of CPU time: {duration(seconds / cores)} at best on {cores} cores. "
        "An estimate; nothing was started.",
        highlight=False,
    )


def plan_json(config: Config, phases: Sequence[PlannedPhase]) -> str:
    """The same for programs: ``{"config": {...}, "phases": [...]}``."""
    rows = [
        {
            "name": phase.name,
            "trajectories": phase.trajectories,
            "tokens_sampled": phase.tokens_sampled,
            "tokens_trained": phase.tokens_trained,
            "cpu_s": phase.cpu_s,
            "disk_bytes": phase.disk_bytes,
        }
        for phase in phases
    ]
    return json.dumps({"config": config.model_dump(), "phases": rows})


def _cells(phases: Sequence[PlannedPhase]) -> tuple[str, ...]:
    return (
        f"{sum(phase.trajectories for phase in phases):,}",
        f"{sum(phase.tokens_sampled for phase in phases):,}",
        f"{sum(phase.tokens_trained for phase in phases):,}",
        duration(sum(phase.cpu_s for phase in phases)),
        f"{sum(phase.disk_bytes for phase in phases) / MEGABYTE:.1f} MB",
    )
