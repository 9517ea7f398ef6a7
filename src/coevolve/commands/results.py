"""What a run has come to: the table of ``coevolve summary`` and the last lines of ``coevolve run``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.monitor.progress import duration
from coevolve.monitor.summary import Summary, at, iterations, number_at
from coevolve.worlds.registry import world_named

ABSENT = "–"
COLUMNS = {  # heading -> what it says, for the legend
    "held out": "mean of single answers ± half its 95 % interval",
    "majority": "",
    "greedy": "",
    "calls": "tool calls in one answer",
    "kept": "tasks of the pool that trained the executor",
    "labels": "pseudo-labels of these that are true",
    "first": "pass rate of the first executor on the pool",
    "formed": "well-formed questions",
}


def print_summary(console: Console, summary: Summary) -> None:
    """One row per iteration, then what it cost."""
    title = f"{at(summary, 'method')} · preset {at(summary, 'preset')} · seed {at(summary, 'seed')}"
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title=title, title_justify="left")
    table.add_column("after", no_wrap=True)
    for heading in COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in iterations(summary):
        table.add_row(*(Text(cell) for cell in _row(row)))
    console.print(table)
    console.print(_cost_line(summary), highlight=False)
    if stored := _stored_line(summary):
        console.print(stored, highlight=False)
    for line in _troubles(summary):
        console.print(Text(line, style="yellow"), soft_wrap=True)
    legend = " · ".join(f"{heading}: {meaning}" for heading, meaning in COLUMNS.items() if meaning)
    console.print(legend + " · rates in %", style="dim", highlight=False)


def print_ending(console: Console, run: Path, report: Path, summary: Summary) -> None:
    """The last lines of a run: the result, where it is, what one would do next."""
    done = "done"
    wall = number_at(summary, "wall_s")
    if wall is not None:
        done += f" in {duration(wall)}"
    lines = [f"{done}. {result_sentence(summary)}Report: {report}"]
    example = world_named(str(at(summary, "world") or "miniature")).example
    lines.append(f"next: coevolve solve {shlex.quote(str(run))} {shlex.quote(example)}")
    lines.append(f"      coevolve summary {shlex.quote(str(run))}")
    for line in lines:
        console.print(f" {line}", highlight=False, markup=False, soft_wrap=True)


def result_sentence(summary: Summary) -> str:
    """``Held out 7.4 -> 46.0 %. `` or nothing when no evaluation is there."""
    means = [number_at(row, "held_out", "mean_at_8") for row in iterations(summary)]
    known = [100 * mean for mean in means if mean is not None]
    if not known:
        return ""
    return f"Held out {known[0]:.1f} -> {known[-1]:.1f} %. " if len(known) > 1 else f"Held out {known[0]:.1f} %. "


def _row(row: object) -> list[str]:
    name = at(row, "iteration")
    size, kept = number_at(row, "pool", "size"), number_at(row, "pool", "kept")
    return [
        "base" if name == 0 else str(name),
        _percent(number_at(row, "held_out", "mean_at_8")) + _half_width(at(row, "held_out", "ci95")),
        _percent(number_at(row, "held_out", "maj_at_8")),
        _percent(number_at(row, "held_out", "greedy")),
        _decimals(number_at(row, "held_out", "tool_calls")),
        ABSENT if size is None or kept is None else f"{kept:.0f}/{size:.0f}",
        _percent(number_at(row, "pool", "label_accuracy_kept")),
        _percent(number_at(row, "pool", "first_executor_pass_rate")),
        _percent(number_at(row, "pool", "well_formed")),
    ]


def _cost_line(summary: Summary) -> str:
    wall, cpu = number_at(summary, "wall_s"), number_at(summary, "cpu_s")
    parts = [] if wall is None else [f"{duration(wall)} wall"]
    parts += [] if cpu is None else [f"{duration(cpu)} CPU"]
    for what in ("sampled", "trained"):
        tokens = number_at(summary, "tokens", what)
        parts += [] if tokens is None else [f"{tokens:,.0f} tokens {what}"]
    lost = number_at(summary, "answers_lost")
    parts += [f"{lost:,.0f} answer{'s' if lost > 1 else ''} lost to the sandbox"] if lost else []
    skipped = number_at(summary, "skipped_updates")
    parts += [f"{skipped:,.0f} update{'s' if skipped > 1 else ''} left out"] if skipped else []
    return " · ".join(parts)


def _troubles(summary: Summary) -> list[str]:
    """A line per rollback and alarm, in the order of the iterations."""
    out = []
    for row in iterations(summary):
        when = f"in iteration {at(row, 'iteration')}"
        rollback, found = at(row, "rollback", "text"), at(row, "alarms")
        out += [f"ROLLBACK {when}: {rollback}"] if rollback else []
        out += [f"ALARM {when}: {at(alarm, 'text')}" for alarm in (found if isinstance(found, list) else [])]
    return out


def _stored_line(summary: Summary) -> str:
    """``12,000 answers stored: eos 97.0 %, length 3.0 % · 24,000 tool calls: ok 95.0 %, error 5.0 %`` or nothing."""
    parts = []
    for count, what, shares in (
        ("trajectories", "answers stored", "stop"),
        ("tool_calls", "tool calls in them", "tool_status"),
    ):
        total, found = number_at(summary, "trajectories", "total", count), at(summary, "trajectories", "total", shares)
        if total and isinstance(found, Mapping):
            largest_first = sorted(found.items(), key=lambda item: -item[1])
            listed = ", ".join(f"{name} {_percent(number / total)} %" for name, number in largest_first)
            parts.append(f"{total:,.0f} {what}: {listed}")
    return " · ".join(parts)


def _percent(share: float | None) -> str:
    return ABSENT if share is None else f"{100 * share:.1f}"


def _decimals(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"


def _half_width(bounds: object) -> str:
    if isinstance(bounds, (list, tuple)) and len(bounds) == 2 and all(isinstance(b, (int, float)) for b in bounds):
        return f" ± {50 * (bounds[1] - bounds[0]):.1f}"
    return ""
