"""What a run has come to: the table of ``coevolve summary`` and the last lines of ``coevolve run``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.evaluation.report import HELD_OUT_ACCURACY
from coevolve.methods.reporting import PhaseReport, Summary, at, iterations, number_at
from coevolve.monitor.progress import duration
from coevolve.worlds.registry import world_named


def print_summary(console: Console, summary: Summary, reports: Sequence[PhaseReport], *, explain: bool = False) -> None:
    """One row per iteration, then what it cost.

    Args:
        reports: of the run's phases, whose quantities are the columns.
        explain: say what each column is.
    """
    title = f"{at(summary, 'method')} · preset {at(summary, 'preset')} · seed {at(summary, 'seed')}"
    title += " · ORACLE: trained on true labels" if at(summary, "oracle") else ""
    columns = [quantity for report in reports for quantity in report.quantities if quantity.column]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title=title, title_justify="left")
    table.add_column("after", no_wrap=True)
    for quantity in columns:
        table.add_column(quantity.column.replace(" ", "\n"), justify="right", no_wrap=True)
    for row in iterations(summary):
        number = at(row, "iteration")
        cells = [quantity.cell(row) for quantity in columns]
        table.add_row(*(Text(cell) for cell in ("base" if number == 0 else str(number), *cells)))
    console.print(table)
    if unfinished := _standing_line(summary):
        console.print(Text(unfinished, style="yellow"), soft_wrap=True)
    console.print(_cost_line(summary), highlight=False)
    if stored := _stored_line(summary):
        console.print(stored, highlight=False)
    for line in _troubles(summary, reports):
        console.print(Text(line, style="yellow"), soft_wrap=True)
    if explain:
        for quantity in columns:
            console.print(f"{quantity.column}: {quantity.meaning}", style="dim", highlight=False, soft_wrap=True)
    legend = "rates in %, ± is half the 95 % interval over problems"
    console.print(legend if explain else f"{legend} · --explain says more", style="dim", highlight=False)


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
    """``Held-out accuracy 7.4 -> 46.0 %. `` or nothing when no evaluation is there."""
    known = [HELD_OUT_ACCURACY.show(mean) for mean in HELD_OUT_ACCURACY.read(summary) if mean is not None]
    ends = known if len(known) < 2 else [known[0], known[-1]]
    return f"Held-out accuracy {' -> '.join(ends)} %. " if known else ""


def _standing_line(summary: Summary) -> str:
    """``stopped; last finished phase: iteration-1/pool`` of a run that has not finished; empty for one that has."""
    status, done = at(summary, "status"), at(summary, "finished_phases")
    if status in (None, "finished"):
        return ""
    return (
        f"{status}; last finished phase: {done[-1]}"
        if isinstance(done, list) and done
        else f"{status}; no phase is finished"
    )


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


def _troubles(summary: Summary, reports: Sequence[PhaseReport]) -> list[str]:
    """A line per alarm and whatever else of its phases a person must read, in the order of the iterations."""
    titles = {event: title for report in reports for event, title in report.notices.items()}
    out = []
    for row in iterations(summary):
        when = f"in iteration {at(row, 'iteration')}"
        told = {title: at(row, event, "text") for event, title in titles.items()}
        out += [f"{title.upper()} {when}: {text}" for title, text in told.items() if text]
        found = at(row, "alarms")
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


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
