"""What a phase shows on the page of a run, declared as data.

A function of ``PhaseReport.figures`` takes a :class:`RunView` and returns parts: figures, large numbers, sentences.
The page's scripts draw any of them and know no phase, agent or event by name. Numbers are raw (shares from 0 to 1);
the unit of a figure says how they are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import groupby
from typing import Any, Literal

from coevolve.config import Config
from coevolve.methods.reporting import PhaseReport, Row, Span, Summary, Unit, number_at
from coevolve.types import AgentSpec

Place = Literal["outcome", "agents", "health", "other"]  # the sections of the page that hold figures
Wide = Literal["", "two", "wide"]  # one column, two, all
Filters = Mapping[str, str]  # of the task browser, e.g. {"fate": "kept"}: the tasks behind a mark
Values = tuple[tuple[float | None, ...], ...]

HELD_OUT: Filters = {"origin": "1"}  # held-out problems; without it the filters look for tasks of training
MOST_PLAIN = 12  # figures of a phase that declares none


@dataclass(frozen=True, slots=True)
class Series:
    """A line.

    Args:
        values: over iterations (iteration, value) or (iteration, value, low, high) with a 95 % interval; over steps
            (iteration, step, steps of the iteration, value). A value is None where nothing was measured.
        agent: id of the agent in whose colour it is drawn; empty: grey.
        shade: 1 (pale) to 5 (dark) of that colour; 0: the colour itself.
        strong: without an agent, in the colour of text.
        tasks: filters that find the tasks behind a point, together with its iteration; None: a point leads nowhere.
    """

    name: str
    values: Values
    agent: str = ""
    shade: int = 0
    style: Literal["solid", "dash", "dot"] = "solid"
    strong: bool = False
    thin: bool = False
    tasks: Filters | None = None


@dataclass(frozen=True, slots=True)
class LineFigure:
    """Lines over iterations or over training steps. Those of one title and place are drawn as one figure.

    Args:
        first: the first iteration on the axis; 0 is the base model.
        low, high: ends of the vertical axis, None where the values decide; a share always goes from 0 to 1.
        digits: of the numbers at the axis.
    """

    title: str
    note: str
    place: Place
    series: tuple[Series, ...]
    unit: Unit
    x: Literal["iteration", "step"] = "iteration"
    first: int = 0
    low: float | None = 0.0
    high: float | None = None
    digits: int = 1
    wide: Wide = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its height, what is said of it, and where it leads; ``faded`` where it lies outside of the window."""

    value: float | None
    text: str
    tasks: Filters | None = None
    faded: bool = False


@dataclass(frozen=True, slots=True)
class BarGroup:
    """The bars of one iteration, one for each label of the figure."""

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One set of axes: bars of one label stand side by side; ``window`` shades from one place among them to another."""

    groups: tuple[BarGroup, ...]
    title: str = ""
    window: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class BarsFigure:
    """Bars by label, such as histograms: several panels stand beside each other, one has a legend of its groups.

    Args:
        axis: what the labels are.
        every: which labels are written: each, or every fifth.
        unit: of the vertical axis; None: there is none, and the number stands on its bar.
    """

    title: str
    note: str
    place: Place
    labels: tuple[str, ...]
    panels: tuple[Panel, ...]
    axis: str
    agent: str = ""
    every: int = 1
    unit: Unit | None = None
    digits: int = 0
    wide: Wide = ""


@dataclass(frozen=True, slots=True)
class TableFigure:
    """A small table; a cell is a text, or a text with a smaller one below it."""

    title: str
    note: str
    place: Place
    head: tuple[str, ...]
    rows: tuple[tuple[str | tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class Stat:
    """A large number below the headline: the texts stand in a row with arrows between them."""

    name: str
    texts: tuple[str, ...]
    small: str = ""  # after the last of them
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Headline:
    """The sentence that the page begins with, and what is said below it. The first one declared is used."""

    text: str
    lead: str = ""


@dataclass(frozen=True, slots=True)
class AgentNote:
    """What an agent does, to stand after its label: ``learns to solve them``."""

    agent: str
    text: str


Figure = LineFigure | BarsFigure | TableFigure
Part = Figure | Stat | Headline | AgentNote


@dataclass(frozen=True, slots=True)
class RunView:
    """What figures are made from: the summary, the rows of metrics.jsonl, and what was configured."""

    summary: Summary
    rows: Sequence[Row]
    config: Config
    agents: tuple[AgentSpec, ...]
    answerer: str  # id of the agent that is measured

    @property
    def taught_by(self) -> str:
        """As :func:`taught_by` says it."""
        return taught_by(teacher=self.config.teaching is not None)

    def label(self, agent: str) -> str:
        """What the method calls an agent."""
        return next((spec.label for spec in self.agents if spec.id == agent), agent)

    def entries(self, first: int = 0) -> list[Row]:
        """The iterations of the summary from the first one on; 0 is the base model."""
        return list(self.summary["iterations"][first:])

    def with_part(self, name: str) -> list[tuple[int, Row]]:
        """The iterations whose summary has a part, with that part."""
        return [(e["iteration"], e[name]) for e in self.entries() if e.get(name)]

    def over_iterations(self, *path: str, first: int = 0) -> Values:
        """The values at a path of the summary by iteration."""
        return tuple((entry["iteration"], number_at(entry, *path)) for entry in self.entries(first))

    def over_steps(self, event: str, key: str) -> Values:
        """The values of a key in the rows of a training phase; rows that do not count their steps are counted."""
        rows = [row for row in self.rows if row.get("event") == event]
        found: list[tuple[Any, ...]] = []
        for t, each in groupby(rows, key=lambda row: row["iteration"]):
            own = list(each)
            found += [
                (t, row.get("step", n), row.get("steps", len(own)), number_at(row, key)) for n, row in enumerate(own, 1)
            ]
        return tuple(found)


def taught_by(*, teacher: bool) -> str:
    """What a run had beside its base model, as the end of a phrase: nothing, or a teacher."""
    return "with a teacher" if teacher else "without any data"


def known(values: Values) -> list[float]:
    """The second of each, where it was measured."""
    return [value[1] for value in values if value[1] is not None]


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage; a dash where it was not measured."""
    return "–" if value is None else f"{100 * value:.{digits}f}\u00a0%"


def interval(ends: Sequence[float] | None) -> str:
    """``60.1–65.3``, a 95 % interval of a share in percent; empty where there is none."""
    return f"{100 * ends[0]:.1f}–{100 * ends[1]:.1f}" if ends else ""


def change(values: Sequence[float], show: Any) -> tuple[str, ...]:
    """The first and the last value as texts, or the only one."""
    return tuple(show(value) for value in (values if len(values) < 2 else (values[0], values[-1])))


def shade(place: int, of: int) -> int:
    """The shade of one of several bars or lines that follow each other, from pale to dark."""
    return 4 if of == 1 else min(5, 1 + round(place * 4 / (of - 1)))


def plain_figures(report: PhaseReport, run: RunView) -> Iterator[LineFigure]:
    """Figures of a phase that declares none: its quantities, and whatever numbers its rows hold."""
    found: list[LineFigure] = []
    for q in (q for q in report.quantities if q.span in (Span.ITERATIONS, Span.LAST)):
        values = tuple((entry["iteration"], q.of(entry)) for entry in run.entries(q.first))
        line = Series(q.heading, values, strong=True)
        found.append(LineFigure(q.heading, q.meaning, "agents", (line,), q.unit, first=q.first, low=None))
    title = report.shown
    event = report.step_event or f"{report.name}_step"
    for key in _number_keys(run.rows, report.name):
        values = tuple((r["iteration"], number_at(r, key)) for r in run.rows if r.get("event") == report.name)
        line = Series(key, values, strong=True)
        found.append(LineFigure(f"{title}: {key}", "", "agents", (line,), Unit.NUMBER, low=None))
    for key in _number_keys(run.rows, event):
        line = Series(key, run.over_steps(event, key), strong=True)
        found.append(LineFigure(f"{title}: {key}", "by step", "health", (line,), Unit.NUMBER, x="step", low=None))
    yield from found[:MOST_PLAIN]


def merged(parts: Sequence[Part]) -> list[Figure]:
    """The figures among the parts: lines of one title and place in one figure, those over iterations first."""
    lines: dict[object, LineFigure] = {}
    found: dict[object, Figure] = {}
    for part in parts:
        if isinstance(part, LineFigure):
            key = (part.place, part.title)
            known_one = lines.get(key)
            lines[key] = replace(known_one, series=(*known_one.series, *part.series)) if known_one else part
            found[key] = lines[key]
        elif isinstance(part, BarsFigure | TableFigure):
            found[(part.place, part.title)] = part
    return sorted(found.values(), key=lambda figure: isinstance(figure, LineFigure) and figure.x == "step")


def as_json(figure: Figure) -> dict[str, Any]:
    """A figure as JSON values, with the ``kind`` that says who draws it."""
    kind = {LineFigure: "lines", BarsFigure: "bars", TableFigure: "table"}[type(figure)]
    return {"kind": kind, **_plain(figure)}


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries; the numbers in them stay as they are."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(x) for x in value] if isinstance(value, tuple) and value and is_dataclass(value[0]) else value


def _number_keys(rows: Sequence[Row], event: str) -> list[str]:
    """Keys of an event's rows that hold a number in any of them."""
    keys = {key: None for row in rows if row.get("event") == event for key in row if number_at(row, key) is not None}
    return [key for key in keys if key not in ("iteration", "step", "steps")]
