"""What the page of a run shows of the suites that were chosen for it: accuracy by iteration, and before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from coevolve.methods.figures import (
    HELD_OUT,
    Headline,
    LineFigure,
    Part,
    RunView,
    Series,
    TableFigure,
    interval,
    percent,
    shade,
)
from coevolve.methods.reporting import Row, Unit
from coevolve.worlds.base import SUITES

_LOCAL = "questions and true answers stand in this page and in the run folder; nothing of them is uploaded"


def suite_figures(run: RunView) -> Iterator[Part]:
    """Accuracy by iteration of each suite, and a table with the paired difference to the base model.

    Nothing where no suite was chosen; a run that has only begun shows that they are still to come.
    """
    measured = run.with_part(SUITES)
    if not measured and not run.config.evaluation.suites:
        return
    names = list(dict.fromkeys(name for _, suites in measured for name in suites))
    lines = tuple(
        Series(
            name,
            tuple((t, suite.get("mean"), *(suite.get("ci95") or (None, None))) for t, suite in _over(run, name)),
            run.answerer,
            shade(i, len(names)) if len(names) > 1 else 0,
            tasks={**HELD_OUT, "set": f"{SUITES}-{name}"},
        )
        for i, name in enumerate(names)
    )
    sizes = [f"{suite['n']:,} of {name}" for name in names for suite in [_first(measured, name)]]
    k = _first(measured, names[0])["k"] if names else 0
    note = f"mean@{k} with 95 % intervals over problems: {', '.join(sizes)}" if names else ""
    yield LineFigure("Accuracy on suites", note, "outcome", lines, Unit.SHARE)
    yield _before_and_after(run, measured, names)


def suite_headline(run: RunView) -> Headline:
    """How the suites moved, of a run that has no held-out problems of its world."""
    measured = run.with_part(SUITES)
    (_, first), (iteration, last) = measured[0], measured[-1]
    lead = f"Measured on problems of your choice. {_silent(last)}".strip()
    if len(measured) == 1:
        found = ", ".join(f"{percent(suite['mean'])} of {name}" for name, suite in first.items())
        return Headline(f"The base model solves {found}.", lead)
    both = [name for name in first if name in last]
    moved = ", ".join(f"on {x} from {percent(first[x]['mean'])} to {percent(last[x]['mean'])}" for x in both)
    rounds = f"{iteration} iteration{'s' if iteration > 1 else ''}"
    return Headline(f"In {rounds} {run.taught_by}, accuracy went {moved}.", f"{_told(run, both)} {lead}".strip())


def _told(run: RunView, names: Sequence[str]) -> str:
    """Which of the differences are more than the choice of problems explains."""
    changes = {name: change for name in names if (change := _change(run, name))}
    if not changes:
        return ""
    apart = [name for name, change in changes.items() if change["ci95"][0] > 0 or change["ci95"][1] < 0]
    if not apart:
        return "No difference is told apart from 0 on these problems."
    return f"Told apart from 0 on the same problems: {', '.join(apart)}."


def _silent(suites: Row) -> str:
    silent = [name for name, suite in suites.items() if (suite.get("no_answer") or 0) >= 0.9]
    return f"Next to no answer could be read on {', '.join(silent)}." if silent else ""


def _before_and_after(run: RunView, measured: Sequence[tuple[int, Row]], names: Sequence[str]) -> TableFigure:
    ends = [measured[0], measured[-1]] if len(measured) > 1 else list(measured)
    rows = tuple((_name_cell(run, name), *_cells(name, ends), *_more(run, name, ends)) for name in names)
    after = [f"iteration {t}" if t else "base" for t, _ in ends]
    head = ("suite", *after, *(["difference"] if len(ends) > 1 else []), "greedy", "no answer")
    note = (
        "mean@k on the same problems with 95 % intervals, the difference paired by problem; greedy and share without "
        f"an answer are of the newest; {_LOCAL}"
    )
    return TableFigure("Suites, before and after", note, "outcome", head, rows)


def _name_cell(run: RunView, name: str) -> tuple[str, str]:
    facts = _facts(run, name)
    return name, f"{facts['n']:,} problems" if facts else ""


def _cells(name: str, ends: Sequence[tuple[int, Row]]) -> list[str | tuple[str, str]]:
    return [
        (percent(suites[name]["mean"]), interval(suites[name].get("ci95"))) if name in suites else "–"
        for _, suites in ends
    ]


def _more(run: RunView, name: str, ends: Sequence[tuple[int, Row]]) -> list[str | tuple[str, str]]:
    last = ends[-1][1].get(name) or {}
    found: list[str | tuple[str, str]] = []
    if len(ends) > 1:
        change = _change(run, name)
        found.append((_points(change["mean"]), " to ".join(map(_points, change["ci95"]))) if change else "–")
    return [*found, *(percent(last.get(key)) for key in ("greedy", "no_answer"))]


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _facts(run: RunView, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (run.summary.get(SUITES) or {}).get(name) or {}
    return found


def _change(run: RunView, name: str) -> Mapping[str, Any] | None:
    return _facts(run, name).get("change")


def _over(run: RunView, name: str) -> list[tuple[int, Row]]:
    return [(entry["iteration"], (entry.get(SUITES) or {}).get(name) or {}) for entry in run.entries()]


def _first(measured: Sequence[tuple[int, Row]], name: str) -> Row:
    found: Row = next(suites[name] for _, suites in measured if name in suites)
    return found
