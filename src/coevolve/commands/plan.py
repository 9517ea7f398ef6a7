"""``--dry-run``: the resolved configuration and what the run would cost. No model is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.config import EvaluationSection
from coevolve.config.resources import EngineSection
from coevolve.engine.planning.devices import why_no_gpu
from coevolve.errors import CoevolveError
from coevolve.monitor.progress import duration
from coevolve.runs.estimate import Fit, sentence
from coevolve.runs.plan import PlannedPhase, Speed
from coevolve.runs.prompts import described
from coevolve.runs.speed import time_sentence
from coevolve.suites.base import Source, subset

MEGABYTE, GIGABYTE = 1e6, 1e9


def print_settings(console: Console, values: Mapping[str, object]) -> None:
    """The resolved configuration as YAML, usable with ``--config``."""
    console.print(yaml.safe_dump(values, sort_keys=False), markup=False, highlight=False, soft_wrap=True)


def print_suites(console: Console, sources: Sequence[Source], section: EvaluationSection) -> None:
    """What is measured beside the suites of the world, and under which licences.

    Raises:
        ConfigError: a suite cannot be read.
    """
    for line in (described(source, source.load(), section) for source in sources):
        console.print(f"suite {line}", markup=False, highlight=False, soft_wrap=True)
    if sources:
        console.print()


def suites_json(sources: Sequence[Source], section: EvaluationSection) -> list[dict[str, object]]:
    """The same for programs; ``answers`` are those of one evaluation.

    Raises:
        ConfigError: a suite cannot be read.
    """
    found: list[dict[str, object]] = []
    for source in sources:
        loaded = source.load()
        n = len(subset(loaded.problems, section.suite_limit))
        found.append(
            {
                "name": source.name,
                "n": n,
                "size": len(loaded.problems),
                "answers": n * (section.suite_samples + section.suite_greedy),
                "licence": source.licence,
                "copy": loaded.copy,
                "digest": loaded.digest,
                "notes": list(loaded.notes),
            }
        )
    return found


def print_costs(
    console: Console, phases: Sequence[PlannedPhase], cores: int, *, timed: bool, speed: Speed | None = None
) -> None:
    """What each phase costs.

    Args:
        timed: seconds are known, on the CPU.
        speed: what was measured here; None where they are those of the embedded base model on an ordinary core.
    """
    table = _table("phase", "texts", "tokens sampled", "tokens trained", *(["CPU"] if timed else []), "disk")
    for phase in phases:
        table.add_row(phase.name, *_cells([phase], timed))
    table.add_row("total", *_cells(phases, timed), style="bold")
    console.print(table)
    if speed is not None:
        console.print(f"{time_sentence(phases, cores, speed)}.", highlight=False, soft_wrap=True)
    elif timed:
        seconds = sum(phase.cpu_s for phase in phases)
        console.print(
            f"about {duration(seconds)} of CPU time: {duration(seconds / cores)} at best on {cores} cores. "
            "An estimate; nothing was started.",
            highlight=False,
        )


def print_memory(console: Console, engine: EngineSection, base: str, fit: Fit | None, *, timed: bool = False) -> None:
    """The memory of a run by its parts.

    Args:
        base: what the base model is called.
        fit: None where its sizes are not known.
        timed: it was said how long the run takes.
    """
    console.print()
    console.print(_memory(console, engine, base, fit), highlight=False, soft_wrap=True)
    console.print(
        "Nothing was started." if timed else "How long this model takes is not estimated. Nothing was started."
    )


def _memory(console: Console, engine: EngineSection, base: str, fit: Fit | None) -> str:
    """Print the parts; returns what is to be said below them."""
    if fit is None:
        return f"The sizes of {base} are not known before it is here."
    where = "the GPU" if engine.gpus == 1 else f"each of {engine.gpus} GPUs"
    table = _table(f"memory of {where if engine.device == 'cuda' else 'all processes'}", "GB", "when")
    for part in fit.memory.parts:
        table.add_row(part.name, f"{part.bytes / GIGABYTE:.2f}", part.when)
    console.print(table)
    if engine.device == "cuda" and fit.gpu is None:
        return f"{sentence(fit)} at its fullest. No GPU is here to hold it against: {why_no_gpu()}."
    return sentence(fit)


def print_shortages(console: Console, shortages: Sequence[CoevolveError]) -> None:
    """What keeps the run from this machine."""
    for shortage in shortages:
        console.print(Text(f"not here: {shortage.what}", "red"), soft_wrap=True)


def plan_json(
    values: Mapping[str, object],
    phases: Sequence[PlannedPhase],
    fit: Fit | None = None,
    shortages: Sequence[CoevolveError] = (),
    suites: Sequence[Mapping[str, object]] = (),
) -> str:
    """The same for programs: ``config``, ``phases``, ``memory``, ``obstacles`` and ``suites``."""
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
    memory = fit and {
        "parts": [asdict(part) for part in fit.memory.parts],
        "peak_bytes": fit.memory.peak,
        "gpu": asdict(fit.gpu) if fit.gpu else None,
        "fits": fit.fits,
        "micro_batch_tokens": fit.micro_batch,
    }
    obstacles = [shortage.what for shortage in shortages]
    plan = {"config": values, "phases": rows, "memory": memory, "obstacles": obstacles, "suites": list(suites)}
    return json.dumps(plan)


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=not number)
    return table


def _cells(phases: Sequence[PlannedPhase], timed: bool) -> tuple[str, ...]:
    return (
        f"{sum(phase.trajectories for phase in phases):,}",
        f"{sum(phase.tokens_sampled for phase in phases):,}",
        f"{sum(phase.tokens_trained for phase in phases):,}",
        *([duration(sum(phase.cpu_s for phase in phases))] if timed else []),
        f"{sum(phase.disk_bytes for phase in phases) / MEGABYTE:.1f} MB",
    )
