"""What a run has come to: the table of ``coevolve summary`` and the last lines of ``coevolve run``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.evaluation.report import HELD_OUT_ACCURACY
from coevolve.methods.reporting import ABSENT, PhaseReport, Summary, at, iterations, number_at
from coevolve.monitor.progress import duration
from coevolve.worlds.base import SUITES
from coevolve.worlds.registry import world_named

_WIDE = 110  # columns of a terminal in which four means with their intervals stand side by side


def print_summary(console: Console, summary: Summary, reports: Sequence[PhaseReport], *, explain: bool = False) -> None:
    """One row per iteration, then what it cost.

    Args:
        reports: of the run's phases, whose quantities are the columns.
        explain: say what each column is.
    """
    title = f"{at(summary, 'method')} · preset {at(summary, 'preset')} · seed {at(summary, 'seed')}"
    title += " · ORACLE: trained on true labels" if at(summary, "oracle") else ""
    rows = list(iterations(summary))
    columns = [quantity for report in reports for quantity in report.quantities if quantity.column]
    columns = [one for one in columns if any(one.cell(row) != ABSENT for row in rows)] or columns
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title=title, title_justify="left")
    table.add_column("after", no_wrap=True)
    for quantity in columns:
        table.add_column(quantity.column.replace(" ", "\n"), justify="right", no_wrap=True)
    for row in rows:
        number = at(row, "iteration")
        cells = [quantity.cell(row) for quantity in columns]
        table.add_row(*(Text(cell) for cell in ("base" if number == 0 else str(number), *cells)))
    console.print(table)
    _print_suites(console, summary, explain=explain)
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


def _print_suites(console: Console, summary: Summary, *, explain: bool) -> None:
    """One row per suite: accuracy by iteration, and the change on the same problems; nothing where none was chosen."""
    found = [(at(row, "iteration"), suites) for row in iterations(summary) if (suites := at(row, SUITES))]
    names = list(dict.fromkeys(name for _, suites in found if isinstance(suites, Mapping) for name in suites))
    if not names:
        return
    between = " " if console.width >= _WIDE else "\n"  # a number and its interval
    heads = [*("base" if number == 0 else str(number) for number, _ in found), "difference", *_OF_THE_NEWEST]
    rows = []
    for name in names:
        last = at(found[-1][1], name)
        cells = [_mean_cell(at(suites, name), between) for _, suites in found]
        cells.append(_difference(at(summary, SUITES, name, "change"), between))
        rows.append(cells + [show(last) for show in _OF_THE_NEWEST.values()])
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title="suites", title_justify="left")
    shown = [i for i, head in enumerate(heads) if head not in _OF_THE_NEWEST or any(row[i] != ABSENT for row in rows)]
    table.add_column("suite", no_wrap=True)
    for i in shown:
        table.add_column(heads[i].replace(" ", "\n"), justify="right", no_wrap=True)
    for name, cells in zip(names, rows, strict=True):
        table.add_row(*map(Text, (name, *(cells[i] for i in shown))))
    console.print(table)
    if not explain:
        return
    lines = [
        f"{name}: {number_at(summary, SUITES, name, 'n') or 0:,.0f} problems, mean of {at(found[0][1], name, 'k')} "
        f"answers to each; {at(summary, SUITES, name, 'licence')}; {at(summary, SUITES, name, 'copy')}"
        for name in names
    ]
    lines.append(
        "difference: of the newest solver to the base model on the same problems, with its 95 % interval; greedy, "
        "maj@k, no answer (share of answers without one) and tool calls are of the newest"
    )
    for line in lines:
        console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)


def _mean_cell(suite: object, between: str) -> str:
    mean, bounds = number_at(suite, "mean"), at(suite, "ci95")
    if mean is None:
        return ABSENT
    half = f"{between}± {50 * (bounds[1] - bounds[0]):.1f}" if isinstance(bounds, list) else ""
    return f"{100 * mean:.1f}{half}"


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.1f}"


def _majority(suite: object) -> str:
    return ABSENT if at(suite, "k") == 1 else _share(number_at(suite, "majority"))  # of one answer it is that answer


def _calls(suite: object) -> str:
    calls = number_at(suite, "tool_calls")
    return ABSENT if calls is None else f"{calls:.2f}"


_OF_THE_NEWEST: dict[str, Callable[[object], str]] = {
    "greedy": lambda suite: _share(number_at(suite, "greedy")),
    "maj@k": _majority,
    "no answer": lambda suite: _share(number_at(suite, "no_answer")),
    "tool calls": _calls,
}


def _difference(change: object, between: str) -> str:
    mean, ends = number_at(change, "mean"), at(change, "ci95")
    if mean is None or not isinstance(ends, list):
        return ABSENT
    return f"{100 * mean:+.1f}{between}[{100 * ends[0]:+.1f}, {100 * ends[1]:+.1f}]"


def print_ending(console: Console, run: Path, report: Path, summary: Summary, example: str = "") -> None:
    """The last lines of a run: the result, where it is, what one would do next.

    Args:
        example: a question to ask the solver; empty: that of the world.
    """
    done = "done"
    wall = number_at(summary, "wall_s")
    if wall is not None:
        done += f" in {duration(wall)}"
    lines = [f"{done}. {result_sentence(summary)}Report: {report}"]
    example = example or world_named(str(at(summary, "world") or "miniature")).example
    lines.append(f"next: coevolve solve {shlex.quote(str(run))} {shlex.quote(example)}")
    lines.append(f"      coevolve summary {shlex.quote(str(run))}")
    for line in lines:
        console.print(f" {line}", highlight=False, markup=False, soft_wrap=True)


def result_sentence(summary: Summary) -> str:
    """``Held-out accuracy 7.4 -> 46.0 %. gsm8k 41.2 -> 45.0 %. `` or nothing when no evaluation is there."""
    found = {"Held-out accuracy": [mean for mean in HELD_OUT_ACCURACY.read(summary) if mean is not None]}
    for row in iterations(summary):
        suites = at(row, SUITES)
        for name in suites if isinstance(suites, Mapping) else ():
            mean = number_at(suites, name, "mean")
            found.setdefault(str(name), []).extend([] if mean is None else [mean])
    ends = {name: means if len(means) < 2 else [means[0], means[-1]] for name, means in found.items() if means}
    return "".join(f"{name} {' -> '.join(map(HELD_OUT_ACCURACY.show, means))} %. " for name, means in ends.items())


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
