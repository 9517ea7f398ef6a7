"""What a phase tells the rest of the house about itself: one :class:`PhaseReport`, built by pure functions over rows.

Plan, screen, summary, health, alarms, comparisons, trackers, cards and the page iterate over these reports and know no
phase by name. A phase that declares nothing but its name is planned, shown and summarised all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from coevolve.types import PROPOSER, SOLVER

if TYPE_CHECKING:
    from coevolve.methods.obstacles import Obstacle

Row = Mapping[str, Any]  # a line of metrics.jsonl
Summary = Mapping[str, Any]  # as ``coevolve summary --json`` prints it
Labels = Mapping[str, str]  # what a method calls its agents, by id
IDS: Labels = {PROPOSER: PROPOSER, SOLVER: SOLVER}  # of a method that has no labels of its own
ABSENT = "–"
Tone = Literal["good", "watch", "bad"]


class Unit(StrEnum):
    """What a quantity is measured in; decides how it is printed."""

    SHARE = "share"  # of 1, printed in percent
    COUNT = "count"  # whole things: tasks, updates
    PER_ANSWER = "per answer"  # such as tool calls, printed with two digits
    NUMBER = "number"  # of no unit, such as a reward, printed with two digits
    NATS = "nats"
    SECONDS = "s"
    TOKENS = "tokens"  # printed in millions


class Better(StrEnum):
    """In which direction a quantity improves."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class Span(StrEnum):
    """Of what a quantity is a number."""

    ITERATIONS = "iterations"  # every iteration has one
    LAST = "last"  # every iteration has one, and comparisons show that of the last
    BASE = "base"  # the run has one, known from its beginning
    RUN = "run"  # the run has one, known at its end


_PRINTED = {
    Unit.SHARE: (100.0, 1),
    Unit.COUNT: (1.0, 0),
    Unit.PER_ANSWER: (1.0, 2),
    Unit.NUMBER: (1.0, 2),
    Unit.NATS: (1.0, 2),
    Unit.SECONDS: (1.0, 0),
    Unit.TOKENS: (1e-6, 1),
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that a phase, or a whole run, reports.

    Args:
        key: its name in comparisons, studies and their JSON; frozen.
        heading: its name in tables.
        path: where it stands in an iteration of the summary, or in the summary itself where the run has one number;
            where ``value`` is given, what that reads.
        first: the first iteration that can have one; 0 is the base model.
        default: whether comparisons show it unless a study asks for other columns.
        column: its heading in the table of ``coevolve summary``; empty where it is not a column there.
        meaning: a few words for legends.
        value: reads the number where it is not just what stands at ``path``.
        interval, total: where its 95 % interval and the whole that it is a part of stand.
        metric: its name in trackers, ``event/key``.
        behind: a word on a number that stands behind it in tables; empty where there is nothing to say.
    """

    key: str
    heading: str
    path: tuple[str, ...]
    unit: Unit
    better: Better = Better.NEITHER
    first: int = 0
    span: Span = Span.ITERATIONS
    default: bool = True
    column: str = ""
    meaning: str = ""
    value: Callable[[object], float | None] | None = None
    interval: tuple[str, ...] = ()
    total: tuple[str, ...] = ()
    metric: str = ""
    behind: Callable[[object], str] | None = None

    def of(self, part: object) -> float | None:
        """The number of an iteration of the summary (of the summary itself where the run has one), or None."""
        return self.value(at(part, *self.path)) if self.value else number_at(part, *self.path)

    def read(self, summary: Summary) -> list[float | None]:
        """The numbers of a run, in order."""
        if self.span in (Span.BASE, Span.RUN):
            return [self.of(summary)]
        rows = iterations(summary)
        return [self.of(row) for row in (rows[-1:] if self.span is Span.LAST else rows[self.first :])]

    def show(self, value: float) -> str:
        """A number as it stands in tables."""
        scale, digits = _PRINTED[self.unit]
        return f"{scale * value:.{digits}f}"

    def cell(self, part: object) -> str:
        """``12.0 ± 3.1``, ``67/256`` or a dash: the number of an iteration with its interval or its total."""
        value = self.of(part)
        if value is None:
            return ABSENT
        total, bounds = number_at(part, *self.total) if self.total else None, at(part, *self.interval)
        shown = self.show(value) + ("" if total is None else f"/{self.show(total)}")
        if self.interval and isinstance(bounds, (list, tuple)) and None not in bounds:
            shown += f" ± {self.show((bounds[1] - bounds[0]) / 2)}"
        word = self.behind(part) if self.behind else ""
        return f"{shown} {word}" if word else shown


@dataclass(frozen=True, slots=True)
class Finding:
    """A judgement of one aspect of a run, in words and with the numbers that say so."""

    tone: Tone
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows of a run up to the end of an iteration."""

    rows: Sequence[Row]
    iteration: int
    config: Any = None  # of the run; None where it is not known: then nothing is said that depends on it

    def all(self, event: str) -> list[Row]:
        """Rows of an event, of all iterations so far."""
        return [r for r in self.rows if r.get("event") == event and r.get("iteration", 0) <= self.iteration]

    def now(self, event: str) -> list[Row]:
        """Rows of an event in this iteration."""
        return [r for r in self.all(event) if r.get("iteration") == self.iteration]

    def last(self, event: str) -> Row:
        """The newest row of an event in this iteration; empty where there is none."""
        found = self.now(event)
        return found[-1] if found else {}


Alarm = Callable[[Seen], str]
Judgement = Callable[[Summary, Sequence[Row]], Finding | None]


@dataclass(frozen=True, slots=True)
class PhaseCost:
    """What a phase will ask of the engine, counted in texts; the plan turns it into tokens, bytes and seconds.

    Args:
        questions: texts of a proposer that are sampled.
        answers: answers of a solver that are sampled.
        prompts: different prompts of these answers; equal ones are computed once.
        questions_trained, answers_trained: texts that take part in training.
        stored: trajectories that are written to the run folder.
        turns: user turns in all ``answers`` together; 0: one in each.
        checkpoint_copies: copies of the trained numbers that it leaves: weights 1, with the moments of AdamW 3.
    """

    questions: int = 0
    answers: int = 0
    prompts: int = 0
    questions_trained: int = 0
    answers_trained: int = 0
    stored: int = 0
    turns: int = 0
    checkpoint_copies: int = 0

    @property
    def turns_of_an_answer(self) -> float:
        """User turns of an answer on average."""
        return self.turns / self.answers if self.turns and self.answers else 1.0


@dataclass(frozen=True)
class PhaseReport:
    """What others need to know of a phase.

    Args:
        name: as in the manifest, in seeds, events and JSON; frozen once it was released.
        title: as a person would say it, e.g. "held-out"; the name where it is empty.
        activity: what it is doing, for a page that follows a run, e.g. "writing tasks".
        share: how long it takes next to the other phases until one of its kind was timed.
        headline: the line that a finished phase leaves on the screen, from the rows so far and the iteration.
        summary: its parts of an iteration's summary, by key; a part that is not there (yet) is None. Phases may add to
            one part.
        whole: its parts of the summary of the whole run, from all rows.
        quantities: the numbers that tables, comparisons, trackers and the page show.
        step_event: the event of the rows that its steps log; None where it logs none.
        step_facts: numbers of the newest step that a page which follows a run shows: (key, label).
        notices: events that a person must read, each with its title; their rows have a ``text``.
        alarms: by kind, a check that returns a sentence, or "" when all is well.
        stops: what leaves nothing to learn, so that a run in the open world ends there; looked at as soon as a phase,
            or the first step of one, is finished.
        findings: judgements of the whole run, from its summary and rows; None where nothing was measured.
        figures: figures of the page, see :mod:`coevolve.methods.figures`.
        agent: id of the agent that acts in it, in whose colour the page shows it; empty: none in particular.
    """

    name: str
    title: str = ""
    activity: str = ""
    share: float = 1.0
    headline: Callable[[Sequence[Row], int], str] | None = None
    summary: Callable[[Sequence[Row], int], dict[str, object]] | None = None
    whole: Callable[[Sequence[Row]], dict[str, object]] | None = None
    quantities: tuple[Quantity, ...] = ()
    step_event: str | None = None
    step_facts: tuple[tuple[str, str], ...] = ()
    notices: Mapping[str, str] = field(default_factory=dict)
    alarms: Mapping[str, Alarm] = field(default_factory=dict)
    stops: Callable[[Seen], Sequence[Obstacle]] | None = None
    findings: tuple[Judgement, ...] = ()
    figures: tuple[Callable[..., Any], ...] = ()
    agent: str = ""

    @property
    def shown(self) -> str:
        """The phase's name as a person would say it."""
        return self.title or self.name

    def line(self, rows: Sequence[Row], iteration: int) -> str:
        """What the phase achieved in an iteration, in one line."""
        return self.headline(rows, iteration) if self.headline else self._first_numbers(rows, iteration)

    def parts(self, rows: Sequence[Row], iteration: int) -> dict[str, object]:
        """Its parts of an iteration's summary; of a phase that declares none its newest row, under its name."""
        if self.summary:
            return self.summary(rows, iteration)
        return {self.name: part_of(self._newest(rows, iteration))}

    def _newest(self, rows: Sequence[Row], iteration: int) -> Row:
        events = {self.name, f"{self.name}_step", self.step_event}
        mine = [r for r in rows if r.get("iteration") == iteration and r.get("event") in events]
        return mine[-1] if mine else {}

    def _first_numbers(self, rows: Sequence[Row], iteration: int) -> str:
        numbers = (part_of(self._newest(rows, iteration)) or {}).items()
        parts = [f"{k} {v:.3g}" for k, v in numbers if isinstance(v, int | float) and not isinstance(v, bool)]
        return "  ".join(parts[:5]) or "finished"


def at(data: object, *path: str) -> object:
    """A value deep in nested mappings; None where a part does not exist or does not apply."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def number_at(data: object, *path: str) -> float | None:
    """The number deep in nested mappings, or None."""
    value = at(data, *path)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def iterations(summary: Summary) -> list[object]:
    """The iterations in order; 0 is the base model."""
    found = summary.get("iterations")
    return found if isinstance(found, list) else []


def series(summary: Summary, *path: str) -> list[tuple[int, float]]:
    """(iteration, number) for all iterations that have one."""
    found = ((t, number_at(row, *path)) for t, row in enumerate(iterations(summary)))
    return [(t, value) for t, value in found if value is not None]


def part_of(row: Row, keys: Sequence[str] = (), *, rest: bool = True) -> dict[str, object] | None:
    """A part of the summary: the named values of a row in this order, null where there is none; ``rest`` after them.

    None for an empty row: nothing was measured.
    """
    if not row:
        return None
    known = {key: row.get(key) for key in keys}
    others = {k: v for k, v in row.items() if k not in ("event", "iteration", *keys)} if rest else {}
    return known | others


def number(row: Row, key: str, otherwise: float = 0.0) -> float:
    """A number of a row; what was not measured raises no alarm."""
    value = row.get(key)
    return float(value) if isinstance(value, int | float) else otherwise


def two_digits(value: object) -> str:
    """``0.47``, or a hyphen where nothing was measured."""
    return f"{value:.2f}" if isinstance(value, int | float) else "-"


def percent(value: object, digits: int = 0) -> str:
    """A fraction as a percentage; a hyphen where it was not measured."""
    return f"{100 * value:.{digits}f} %" if isinstance(value, int | float) else "-"


def listed(values: Sequence[tuple[int, float]]) -> str:
    """``12.0 % → 34.5 %``: the values of a series with their unit kept on their line."""
    return " → ".join(percent(value, 1).replace(" ", "\u00a0") for _, value in values)
