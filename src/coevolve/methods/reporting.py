"""What a phase tells the rest of the house about itself: one :class:`PhaseReport`, built by pure functions over rows.

Plan, screen, summary, health, alarms, comparisons, trackers, cards and the page iterate over these reports and know no
phase by name. A phase that declares nothing but its name is planned, shown and summarised all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Row = Mapping[str, Any]  # a line of metrics.jsonl
Summary = Mapping[str, Any]  # as ``coevolve summary --json`` prints it
Tone = Literal["good", "watch", "bad"]


class Unit(StrEnum):
    """What a quantity is measured in; decides how it is printed."""

    SHARE = "share"  # of 1, printed in percent
    COUNT = "count"  # whole things: tasks, updates
    PER_ANSWER = "per answer"  # such as tool calls, printed with two digits
    NATS = "nats"
    SECONDS = "s"
    TOKENS = "tokens"  # printed in millions


class Better(StrEnum):
    """In which direction a quantity improves."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that a phase reports for an iteration.

    Args:
        key: its name in comparisons, studies and their JSON; frozen.
        heading: its name in tables.
        path: where it stands in an iteration of the summary, e.g. ``("pool", "label_accuracy_kept")``.
        first: the first iteration that can have one; 0 is the base model.
        last_only: comparisons show the value after the last iteration instead of the whole series.
        default: whether comparisons show it unless a study asks for other columns.
        column: its heading in the table of ``coevolve summary``; empty where it is not a column there.
        meaning: a few words for legends.
    """

    key: str
    heading: str
    path: tuple[str, ...]
    unit: Unit
    better: Better
    first: int = 0
    last_only: bool = False
    default: bool = True
    column: str = ""
    meaning: str = ""


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

    def all(self, event: str) -> list[Row]:
        """Rows of an event, of all iterations so far."""
        return [r for r in self.rows if r.get("event") == event and r.get("iteration", 0) <= self.iteration]

    def now(self, event: str) -> list[Row]:
        """Rows of an event in this iteration."""
        return [r for r in self.all(event) if r.get("iteration") == self.iteration]


@dataclass(frozen=True, slots=True)
class PhaseCost:
    """What a phase will ask of the engine, counted in texts; the plan turns it into tokens, bytes and seconds.

    Args:
        questions: texts of a proposer that are sampled.
        answers: answers of a solver that are sampled.
        prompts: different prompts of these answers; equal ones are computed once.
        questions_trained, answers_trained: texts that take part in training.
        stored: trajectories that are written to the run folder.
        checkpoint_copies: copies of the trained numbers that it leaves: weights 1, with the moments of AdamW 3.
    """

    questions: int = 0
    answers: int = 0
    prompts: int = 0
    questions_trained: int = 0
    answers_trained: int = 0
    stored: int = 0
    checkpoint_copies: int = 0


def newest_row(name: str) -> Callable[[Sequence[Row], int], dict[str, object]]:
    """The summary of a phase that declares none: its newest row of the iteration, under its name."""

    def summarise(rows: Sequence[Row], iteration: int) -> dict[str, object]:
        mine = [r for r in rows if r.get("iteration") == iteration and r.get("event") in (name, f"{name}_step")]
        return {name: {k: v for k, v in mine[-1].items() if k not in ("event", "iteration")} if mine else None}

    return summarise


def first_numbers(name: str) -> Callable[[Sequence[Row], int], str]:
    """The headline of a phase that declares none: the first numbers of its newest row."""

    def line(rows: Sequence[Row], iteration: int) -> str:
        found = newest_row(name)(rows, iteration)[name]
        numbers = found.items() if isinstance(found, dict) else ()
        parts = [f"{k} {v:.3g}" for k, v in numbers if isinstance(v, int | float) and not isinstance(v, bool)]
        return "  ".join(part for part in parts[:5]) or "finished"

    return line


@dataclass(frozen=True)
class PhaseReport:
    """What others need to know of a phase.

    Args:
        name: as in the manifest, in seeds, events and JSON; frozen once it was released.
        title: as a person would say it, e.g. "held-out accuracy".
        activity: what it is doing, for a page that follows a run, e.g. "writing tasks".
        share: how long it takes next to the other phases until one of its kind was timed.
        headline: the line that a finished phase leaves on the screen, from the rows so far and the iteration.
        summary: its parts of an iteration's summary, by key; a part that is not there (yet) is None.
        quantities: the numbers that tables, comparisons, trackers and the page show.
        step_event: the event of the rows that its steps log; None where it logs none.
        step_facts: numbers of the newest step that a page which follows a run shows: (key, label).
        alarms: by kind, a check that returns a sentence, or "" when all is well.
        findings: judgements of the whole run, from its summary and rows; None where nothing was measured.
        figures: figures of the page, see :mod:`coevolve.methods.figures`.
    """

    name: str
    title: str = ""
    activity: str = ""
    share: float = 1.0
    headline: Callable[[Sequence[Row], int], str] | None = None
    summary: Callable[[Sequence[Row], int], dict[str, object]] | None = None
    quantities: tuple[Quantity, ...] = ()
    step_event: str | None = None
    step_facts: tuple[tuple[str, str], ...] = ()
    alarms: Mapping[str, Callable[[Seen], str]] = field(default_factory=dict)
    findings: tuple[Callable[[Summary, Sequence[Row]], Finding | None], ...] = ()
    figures: tuple[Callable[..., Any], ...] = ()

    def line(self, rows: Sequence[Row], iteration: int) -> str:
        """What the phase achieved in an iteration, in one line."""
        return (self.headline or first_numbers(self.name))(rows, iteration)

    def parts(self, rows: Sequence[Row], iteration: int) -> dict[str, object]:
        """Its parts of an iteration's summary."""
        return (self.summary or newest_row(self.name))(rows, iteration)
