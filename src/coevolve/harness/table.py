"""A table of results in the layout of the papers: ten benchmarks, their averages, and published rows beside ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from coevolve.harness.entries import Entry, Figure, Scoring
from coevolve.harness.published import (
    BASES,
    GENERAL_MEAN,
    MATHS_MEAN,
    OVERALL,
    WITHOUT_AIME,
    WITHOUT_AIME_MEAN,
    Published,
    Size,
    base_spread,
    published,
)
from coevolve.suites.catalogue import GENERAL, MATHS

Group = Literal["mathematics", "general", "other"]
Kind = Literal["measured", "published"]
_TITLES = {
    "amc": "AMC", "minerva": "Minerva", "math-500": "MATH", "gsm8k": "GSM8K", "olympiad": "Olympiad",
    "aime25": "AIME25", "aime24": "AIME24", "supergpqa": "SuperGPQA", "mmlu-pro": "MMLU-Pro", "bbeh": "BBEH",
    MATHS_MEAN: "Maths (7)", WITHOUT_AIME_MEAN: "Maths (5)", GENERAL_MEAN: "General (3)", OVERALL: "Overall",
}  # fmt: skip
# Weights of the sets in each average; overall is the mean of the average over mathematics and the three general sets.
AVERAGES: dict[str, dict[str, float]] = {
    MATHS_MEAN: dict.fromkeys(MATHS, 1 / 7),
    WITHOUT_AIME_MEAN: dict.fromkeys(WITHOUT_AIME, 1 / 5),
    GENERAL_MEAN: dict.fromkeys(GENERAL, 1 / 3),
    OVERALL: dict.fromkeys(MATHS, 1 / 28) | dict.fromkeys(GENERAL, 1 / 4),
}
SCORING_NAMES: dict[Scoring, str] = {"strict": "strict", "paper": "paper-compatible", "judged": "judged"}


@dataclass(frozen=True, slots=True)
class Column:
    """A benchmark, an average or a suite of one's own."""

    key: str
    title: str
    group: Group
    average: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A fraction with its 95 % interval; ``remarks`` become footnotes."""

    value: float
    low: float | None = None
    high: float | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. A column that has no cell is unknown."""

    name: str
    kind: Kind
    cells: Mapping[str, Cell]
    scoring: Scoring | None = None  # of a measured row
    base: Size | None = None
    source: int | None = None  # number of the source of a published row, from 1


@dataclass(frozen=True, slots=True)
class Results:
    """A table, and what a reader must know of it: sources by number, remarks of cells, notes on the whole."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    sources: tuple[str, ...]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]

    def marks(self, cell: Cell) -> str:
        """The letters of a cell's remarks: a, b, c, ..."""
        return ",".join(mark(self.remarks.index(remark)) for remark in cell.remarks)

    def as_json(self) -> dict[str, Any]:
        """For programs; rates are fractions, what is unknown is missing."""
        return {
            "columns": [{"key": c.key, "title": c.title, "group": c.group, "average": c.average} for c in self.columns],
            "rows": [_row_json(row, self.sources) for row in self.rows],
            "notes": list(self.notes),
        }


def mark(number: int) -> str:
    """a to z, then aa, ab, ..."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters


def build(entries: Sequence[Entry], sizes: Sequence[Size], scorings: Sequence[Scoring]) -> Results:
    """Lay the rows out: published ones by base model, then those that were measured here.

    Args:
        entries: what was measured; may be empty where published rows are wanted alone.
        sizes: base models whose published rows are shown.
        scorings: a row each, where an entry has it.
    """
    columns = _columns(entries)
    printed = [row for size in sizes for row in published(size)]
    citations = list(dict.fromkeys(row.source for row in printed))
    rows = [_published_row(row, citations.index(row.source) + 1, several=len(sizes) > 1) for row in printed]
    for entry in entries:
        rows += [_measured_row(entry, scoring) for scoring in scorings if _has(entry, scoring)]
    remarks = tuple(dict.fromkeys(r for row in rows for cell in row.cells.values() for r in cell.remarks))
    sources = tuple(f"{source.citation}: {source.measured}" for source in citations)
    shown = _measured_groups(columns, rows)
    notes = _notes(entries, sizes, scorings)
    return Results(shown, tuple(rows), sources, remarks, (_legend(shown), *notes))


def _measured_groups(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[Column, ...]:
    """The columns without the groups in which no row has a figure."""
    groups = {column.group for column in columns if any(column.key in row.cells for row in rows)}
    return tuple(column for column in columns if column.group in groups)


def average(cells: Mapping[str, Cell], key: str) -> Cell | None:
    """The average of its sets, None where one of them is missing.

    Sets are independent samples of problems. The ends of the interval combine as deviations do: from the mean to its
    lower end is the root of the sum of the squared distances of the sets to theirs, each with its weight (MOVER, Zou
    and Donner 2008, Statistics in Medicine 27).
    """
    weights = AVERAGES[key]
    if any(part not in cells for part in weights):
        return None
    value = sum(weight * cells[part].value for part, weight in weights.items())
    ends = {part: (cells[part].low, cells[part].high) for part in weights}
    remarks = tuple(dict.fromkeys(r for part in weights for r in cells[part].remarks))
    if any(low is None or high is None for low, high in ends.values()):
        return Cell(value, remarks=remarks)
    down = math.sqrt(sum((w * (cells[part].value - float(ends[part][0] or 0))) ** 2 for part, w in weights.items()))
    up = math.sqrt(sum((w * (float(ends[part][1] or 0) - cells[part].value)) ** 2 for part, w in weights.items()))
    return Cell(value, value - down, value + up, remarks)


def _columns(entries: Iterable[Entry]) -> tuple[Column, ...]:
    def of(keys: Iterable[str], group: Group) -> list[Column]:
        return [Column(key, _TITLES.get(key, key), group, key in AVERAGES) for key in keys]

    known = {*MATHS, *GENERAL}
    others = dict.fromkeys(name for entry in entries for name in entry.suites if name not in known)
    return (
        *of((*MATHS, MATHS_MEAN, WITHOUT_AIME_MEAN), "mathematics"),
        *of((*GENERAL, GENERAL_MEAN, OVERALL), "general"),
        *of(others, "other"),
    )


COMPUTED = "computed here from the sets that were printed"


def _published_row(row: Published, source: int, *, several: bool) -> Row:
    cells = {key: Cell(percent / 100) for key, percent in row.figures.items()}
    for key in AVERAGES:
        found = average(cells, key)
        if key not in cells and found:
            cells[key] = Cell(round(found.value, 3), remarks=(COMPUTED,))
    name = f"{row.name}, {BASES[row.base]}" if several else row.name
    return Row(name, "published", cells, base=row.base, source=source)


def _measured_row(entry: Entry, scoring: Scoring) -> Row:
    figures = {name: suite.figures[scoring] for name, suite in entry.suites.items() if scoring in suite.figures}
    cells = {name: _cell(figure) for name, figure in figures.items()}
    averages = {key: found for key in AVERAGES if (found := average(cells, key))}
    return Row(entry.name, "measured", cells | averages, scoring, entry.size)


def _cell(figure: Figure) -> Cell:
    return Cell(figure.value, figure.low, figure.high, figure.remarks)


def _has(entry: Entry, scoring: Scoring) -> bool:
    return any(scoring in suite.figures for suite in entry.suites.values())


def _row_json(row: Row, sources: Sequence[str]) -> dict[str, Any]:
    def cell_json(cell: Cell) -> dict[str, Any]:
        found = {"value": cell.value, "low": cell.low, "high": cell.high}
        known: dict[str, Any] = {key: round(x, 6) for key, x in found.items() if x is not None}
        return known | ({"remarks": list(cell.remarks)} if cell.remarks else {})

    return {
        "name": row.name,
        "kind": row.kind,
        "base": BASES[row.base] if row.base else None,
        "scoring": row.scoring,
        "source": sources[row.source - 1] if row.source else None,
        "cells": {key: cell_json(cell) for key, cell in row.cells.items()},
    }


def _legend(columns: Sequence[Column]) -> str:
    if not any(column.average for column in columns):
        return "All in %."
    return (
        "All in %. –: not known; an average is over all of its sets or not at all. Overall: the mean of Maths (7) and"
        " the three general sets. Maths (5): without AIME."
    )


def _notes(entries: Sequence[Entry], sizes: Sequence[Size], scorings: Sequence[Scoring]) -> list[str]:
    out = []
    for size in sizes:
        most, points = base_spread(size)
        out.append(
            f"Published rows ({BASES[size]}) come from other harnesses, with lenient rules and an LLM judge that only"
            " turns wrong into right, from one seed each and without intervals. Two published measurements of this very"
            f" base model differ by {points:g} points on {_TITLES[most]}: compare with a base model measured here."
        )
    for entry in entries:
        if not any(_has(entry, scoring) for scoring in scorings):
            out.append(f"{entry.name} has no scores of this kind ({', '.join(SCORING_NAMES[s] for s in scorings)}).")
    if entries:
        out += _measured_notes(entries, [s for s in scorings if any(_has(entry, s) for entry in entries)])
    return out


def _measured_notes(entries: Sequence[Entry], scorings: Sequence[Scoring]) -> list[str]:
    meanings: dict[Scoring, str] = {
        "strict": "strict: an answer counts where this project's grader calls it equal to the reference",
        "paper": "paper-compatible: by the lenient rules of the published evaluations, to be held against their rows",
        "judged": "judged: after a judge model that was asked about right and wrong answers",
    }
    out = [f"Scoring: {'; '.join(meanings[scoring] for scoring in scorings)}."] if scorings else []
    figures = [x for entry in entries for suite in entry.suites.values() for x in suite.figures.values()]
    ways = sorted({x.how for x in figures})
    rule = "of AMC and AIME the mean of the sampled answers where there are any, of other sets the greedy answer"
    out.append(f"Answers: {', '.join(ways)}{f'; {rule}' if len(ways) > 1 else ''}.")
    out.append(
        "±: half the 95 % interval over problems. Every row is one run or one model: the interval says nothing of"
        " another training seed."
    )
    copies: dict[str, dict[str, None]] = {}
    digests: dict[str, set[tuple[str, int]]] = {}
    for entry in entries:
        for name, suite in entry.suites.items():
            words = "; ".join(x for x in (suite.copy, suite.licence) if x)
            copies.setdefault(name, {}).update(dict.fromkeys([words] if words else []))
            digests.setdefault(name, set()).update({(suite.digest, suite.n)} if suite.digest else ())
    listed = "; ".join(f"{name} ({' / '.join(words)})" for name, words in copies.items() if words)
    out += [f"Data and licences: {listed}."] if listed else []
    out += [f"{name}: not the same problems in all rows." for name, found in digests.items() if len(found) > 1]
    notes = [note for entry in entries for suite in entry.suites.values() for note in suite.notes]
    notes += [note for entry in entries for note in (*entry.notes, *entry.left_out)]
    return out + [note if note.endswith(".") else f"{note}." for note in dict.fromkeys(notes)]
