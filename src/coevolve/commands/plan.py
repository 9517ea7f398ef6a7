"""``--dry-run``: the resolved configuration and what the run would cost. No model is loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import yaml
from rich.console import Console
from rich.table import Table

from coevolve.config import Config
from coevolve.engine.planning.devices import CARDS, why_no_gpu
from coevolve.engine.planning.speed import AIMS
from coevolve.monitor.progress import duration
from coevolve.runs.estimate import Fit, card_here, hours_on, sentence
from coevolve.runs.plan import PlannedPhase

MEGABYTE, GIGABYTE = 1e6, 1e9
EXAMPLES = ("RTX 4090", "A100-SXM4-80GB", "H100 80GB HBM3", "H200")  # whose times are told where there is no card


def print_plan(
    console: Console, config: Config, phases: Sequence[PlannedPhase], cores: int, fit: Fit | None = None
) -> None:
    """The resolved configuration as YAML (usable with ``--config``), then the plan as tables.

    Args:
        fit: memory by its parts; None where the sizes of the base model are not known.
    """
    console.print(yaml.safe_dump(config.model_dump(), sort_keys=False), markup=False, highlight=False, soft_wrap=True)
    on_cpu = config.engine.device == "cpu"
    timed = on_cpu and config.world == "miniature"  # what was measured
    table = _table("phase", "texts", "tokens sampled", "tokens trained", *(["CPU"] if timed else []), "disk")
    for phase in phases:
        table.add_row(phase.name, *_cells([phase], timed))
    table.add_row("total", *_cells(phases, timed), style="bold")
    console.print(table)
    if timed:
        seconds = sum(phase.cpu_s for phase in phases)
        console.print(
            f"about {duration(seconds)} of CPU time: {duration(seconds / cores)} at best on {cores} cores. "
            "An estimate; nothing was started.",
            highlight=False,
        )
        return
    console.print()
    for line in _memory(console, config, fit):
        console.print(line, highlight=False, soft_wrap=True)
    if on_cpu:
        console.print("How long this model takes on CPU is not estimated. Nothing was started.")
        return
    console.print()
    _print_times(console, config, phases, fit)


def _memory(console: Console, config: Config, fit: Fit | None) -> list[str]:
    """Print the parts; returns what is to be said below them."""
    if fit is None:
        return [f"The sizes of {config.model.path or 'the base model'} are not known before it is here."]
    where = "the GPU" if config.engine.gpus == 1 else f"each of {config.engine.gpus} GPUs"
    table = _table(f"memory of {where if config.engine.device == 'cuda' else 'all processes'}", "GB", "when")
    for part in fit.memory.parts:
        table.add_row(part.name, f"{part.bytes / GIGABYTE:.2f}", part.when)
    console.print(table)
    if config.engine.device == "cuda" and fit.gpu is None:
        return [f"{sentence(fit)} at its fullest. No GPU is here to hold it against: {why_no_gpu()}."]
    return [sentence(fit)]


def _print_times(console: Console, config: Config, phases: Sequence[PlannedPhase], fit: Fit | None) -> None:
    """Hours of every iteration on the card that is here, or on some that could be."""
    here = card_here(fit)
    large = {name: CARDS[name] for name in EXAMPLES if fit and CARDS[name].gigabytes * GIGABYTE >= fit.memory.peak}
    cards = {fit.gpu.name: here} if fit and fit.gpu and here else large
    if fit and fit.gpu and not here:
        console.print(f"{fit.gpu.name} is not in the table of cards (engine/planning/devices.py); times on others:")
    iterations = range(config.iterations + 1)
    table = _table("hours on", *("base" if t == 0 else f"iteration {t}" for t in iterations), "all")
    for name, card in cards.items():
        hours = hours_on(config, card, phases)
        if not hours:
            return
        own = [_of_iteration(phases, hours, t) for t in iterations]
        label = name if config.engine.gpus == 1 else f"{config.engine.gpus} x {name}"
        table.add_row(label, *(f"{h:.1f}" for h in [*own, sum(hours)]))
    console.print(table)
    console.print(
        f"An estimate: half of the allowed tokens per text, sampling at {AIMS.sampling:.0%} of the bandwidth, "
        f"training at {AIMS.training:.0%} of the peak: aims, which make bench-gpu measures. Nothing was started.",
        highlight=False,
        soft_wrap=True,
    )


def _of_iteration(phases: Sequence[PlannedPhase], hours: Sequence[float], iteration: int) -> float:
    return sum(h for p, h in zip(phases, hours, strict=True) if p.name.startswith(f"iteration-{iteration}/"))


def plan_json(config: Config, phases: Sequence[PlannedPhase], fit: Fit | None = None) -> str:
    """The same for programs: ``{"config": {...}, "phases": [...], "memory": {...}}``."""
    card = card_here(fit)
    hours = hours_on(config, card, phases) if card else []
    rows = [
        {
            "name": phase.name,
            "trajectories": phase.trajectories,
            "tokens_sampled": phase.tokens_sampled,
            "tokens_trained": phase.tokens_trained,
            "cpu_s": phase.cpu_s,
            "gpu_s": hours[i] * 3600 if hours else None,
            "disk_bytes": phase.disk_bytes,
        }
        for i, phase in enumerate(phases)
    ]
    memory = fit and {
        "parts": [asdict(part) for part in fit.memory.parts],
        "peak_bytes": fit.memory.peak,
        "gpu": asdict(fit.gpu) if fit.gpu else None,
        "fits": fit.fits,
        "micro_batch_tokens": fit.micro_batch,
    }
    return json.dumps({"config": config.model_dump(), "phases": rows, "memory": memory})


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
