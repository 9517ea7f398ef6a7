"""What changing a run did: finished run folders side by side, or one setting against what the miniature must show.

    python benchmarks/levers.py runs/mini-s0 runs/mini-s1 runs/no-tool-s0 [--json]
    python benchmarks/levers.py --must runs/mini-s0 runs/mini-s1 runs/mini-s2 [--into README.md]

The name of a folder is its label; folders ``<label>-s<seed>`` are averaged, with a 95 % t-interval over the seeds.
``--into FILE`` writes the table between the lines ``<!-- results -->`` and ``<!-- /results -->`` of a Markdown file.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from targets import first_levels, judged_rows  # the file next to this one

from coevolve.commands.results import Summary, at, iterations, number_at
from coevolve.errors import CoevolveError, RunError
from coevolve.runs.summary import summarise

BEGIN, END = "<!-- results -->", "<!-- /results -->"
ABSENT = "–"
_SEEDED = re.compile(r"(?P<label>.+)-s[0-9]+")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One column: the numbers of a run, in order, and how they are shown."""

    key: str
    heading: str
    read: Callable[[Summary], list[float | None]]
    scale: float = 1.0
    digits: int = 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean over seeds and half its 95 % t-interval; ``half`` is None for one seed, both where nothing was found."""

    mean: float | None
    half: float | None


def _each(*path: str, first: int) -> Callable[[Summary], list[float | None]]:
    """One number per iteration, from iteration ``first`` on."""
    return lambda summary: [number_at(row, *path) for row in iterations(summary)[first:]]


def _last(*path: str) -> Callable[[Summary], list[float | None]]:
    return lambda summary: [number_at(iterations(summary)[-1], *path)]


QUANTITIES = (
    Quantity("mean_at_8", "mean@8", _each("held_out", "mean_at_8", first=0), 100),
    Quantity("greedy", "greedy, last", _last("held_out", "greedy"), 100),
    Quantity("levels_1_to_3", "levels 1-3, last", lambda s: [first_levels(iterations(s)[-1])], 100),
    Quantity("labels", "labels right", _each("pool", "label_accuracy_kept", first=1), 100),
    Quantity("first_executor", "first executor", _each("pool", "first_executor_pass_rate", first=1), 100),
    Quantity("pool_calls", "calls on pools", _each("pool", "fixed_executor_tool_calls", first=1), digits=2),
    Quantity("calls", "calls held out", _each("held_out", "tool_calls", first=0), digits=2),
    Quantity("wall_s", "wall s", lambda s: [number_at(s, "wall_s")], digits=0),
    Quantity("cpu_s", "CPU s", lambda s: [number_at(s, "cpu_s")], digits=0),
)


def label_of(folder: Path) -> str:
    """The folder's name without ``-s<seed>``."""
    name = folder.resolve().name
    seeded = _SEEDED.fullmatch(name)
    return seeded["label"] if seeded else name


def read_runs(folders: Sequence[Path]) -> dict[str, list[Summary]]:
    """Summaries by label, labels in the order given, seeds ascending.

    Raises:
        RunError: a run is missing, damaged or unfinished; or two runs of a label share their seed or differ in length.
    """
    found: dict[str, list[Summary]] = {}
    for folder in folders:
        summary = summarise(folder)
        if summary["status"] != "finished":
            raise RunError("the run is not finished", where=str(folder), fix=f"coevolve resume {folder}")
        others = found.setdefault(label_of(folder), [])
        if any(other["seed"] == summary["seed"] for other in others):
            what = f"two runs of {label_of(folder)} have seed {summary['seed']}, which are no two measurements"
            raise RunError(what, where=str(folder), fix="name each seed once")
        if any(len(iterations(other)) != len(iterations(summary)) for other in others):
            what = f"the runs of {label_of(folder)} have different numbers of iterations"
            raise RunError(what, where=str(folder), fix="give runs of other settings a name of their own")
        others.append(summary)
    return {label: sorted(runs, key=lambda s: number_at(s, "seed") or 0) for label, runs in found.items()}


def estimate(values: Sequence[float | None]) -> Estimate:
    """Mean over seeds; the interval assumes that seeds scatter normally. Missing where any seed has no value."""
    known = [x for x in values if x is not None]
    if not known or len(known) < len(values):
        return Estimate(None, None)
    half = None
    if len(known) > 1:
        half = float(student.ppf(0.975, len(known) - 1) * np.std(known, ddof=1) / math.sqrt(len(known)))
    return Estimate(float(np.mean(known)), half)


def estimates(runs: Sequence[Summary], quantity: Quantity) -> list[Estimate]:
    """One estimate per number of a quantity."""
    return [estimate(values) for values in zip(*(quantity.read(run) for run in runs), strict=True)]


def levers_table(runs: dict[str, list[Summary]]) -> str:
    """The Markdown table, one row per label; the interval belongs to the last number of a cell."""
    rows = [["setting", "seeds", *(q.heading for q in QUANTITIES)]]
    rows += [
        [f"`{label}`", _seeds(mine), *(_cell(estimates(mine, q), q) for q in QUANTITIES)]
        for label, mine in runs.items()
    ]
    note = (
        "By iteration from the base model on, or by pool from the first on. Rates in %; ± is half the 95 % t-interval"
        " over seeds of the last number."
    )
    return f"{_markdown(rows)}\n\n{note}"


def levers_json(runs: dict[str, list[Summary]]) -> list[dict[str, object]]:
    """All estimates with all their intervals; rates are fractions."""
    return [
        {"label": label, "preset": mine[0]["preset"], "seeds": [run["seed"] for run in mine]}
        | {q.key: [{"mean": e.mean, "half_ci95": e.half} for e in estimates(mine, q)] for q in QUANTITIES}
        for label, mine in runs.items()
    ]


def must_table(runs: dict[str, list[Summary]]) -> tuple[str, list[dict[str, str]]]:
    """What must be so, what is aimed at and what was measured, for the runs of one label: Markdown, and its rows.

    Raises:
        RunError: there are several labels, or the runs have not three iterations.
    """
    if len(runs) != 1:
        raise RunError("this table is about one setting", where=", ".join(runs), fix="name the runs of one label")
    label, mine = next(iter(runs.items()))
    if len(iterations(mine[0])) != 4:
        raise RunError("this table is about three iterations", where=label, fix="name runs with iterations=3")
    rows = judged_rows(mine)
    cells = [["measure", "must", "aim", "measured", ""], *([*row.values()] for row in rows)]
    note = (
        f"Preset `{at(mine[0], 'preset')}`, seeds {_seeds(mine)}. Means over seeds are judged unless a row says more."
    )
    return f"{_markdown(cells)}\n\n{note}", rows


def write_between(file: Path, text: str) -> None:
    """Replace what stands between the two marker lines.

    Raises:
        RunError: the file does not hold each marker once, in order.
    """
    old = file.read_text(encoding="utf-8")
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise RunError("there is no one place for the table", where=str(file), fix=f"put in {BEGIN} and {END}")
    before, after = old[: old.index(BEGIN)], old[old.index(END) :]
    file.write_text(f"{before}{BEGIN}\n{text}\n{after}", encoding="utf-8")


def _cell(numbers: Sequence[Estimate], quantity: Quantity) -> str:
    shown = [ABSENT if x.mean is None else f"{quantity.scale * x.mean:.{quantity.digits}f}" for x in numbers]
    half = numbers[-1].half
    return " → ".join(shown) + ("" if half is None else f" ± {quantity.scale * half:.{quantity.digits}f}")


def _seeds(runs: Sequence[Summary]) -> str:
    return ", ".join(str(run["seed"]) for run in runs)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished run folder")
    parser.add_argument("--must", action="store_true", help="one label against what the miniature must show")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write the table between the markers of this file")
    options = parser.parse_args(arguments)
    try:
        runs = read_runs(options.runs)
        table, rows = must_table(runs) if options.must else (levers_table(runs), levers_json(runs))
        if options.into:
            write_between(options.into, table)
    except CoevolveError as error:
        sys.exit(f"error: {error}")
    if not options.into:
        print(json.dumps(rows, indent=1) if options.json else table)


if __name__ == "__main__":
    main()
