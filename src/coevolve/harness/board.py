"""The answers to one suite as far as they are known: grades and counts, no texts, so that memory stays flat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from coevolve.errors import RunError
from coevolve.harness.results import CUT_OFF, GREEDY, Answer, Records, SuiteResult
from coevolve.harness.scoring import Marker, Marks, mean_of, parts, rates_of, scatter
from coevolve.harness.target import Place
from coevolve.worlds.base import Problem

_SHOWN = 3  # answers of the alarm, and lost ones


@dataclass(frozen=True, slots=True)
class Wanted:
    """A suite, and which answers to it are wanted.

    Args:
        name: its key in results.
        problems: those to ask, after any limit.
        samples: answers per problem at the sampling temperature; 0: greedy ones alone.
        greedy: one greedy answer per problem as well.
        digest, copy, licence, notes: of its source.
    """

    name: str
    problems: tuple[Problem, ...]
    samples: int
    digest: str
    copy: str
    licence: str
    greedy: bool = True
    notes: tuple[str, ...] = ()

    def places(self) -> Iterator[Place]:
        """Every answer that is wanted, the greedy ones first."""
        if self.greedy:
            yield from (Place(n, GREEDY) for n in range(len(self.problems)))
        yield from (Place(n, k) for n in range(len(self.problems)) for k in range(self.samples))

    @property
    def answers(self) -> int:
        """How many these are."""
        return len(self.problems) * (self.samples + self.greedy)


@dataclass(slots=True)
class Board:
    """What is known of the answers to a suite.

    Args:
        wanted: which answers count.
    """

    wanted: Wanted
    strict: Marks = field(init=False)
    paper: Marks = field(init=False)
    shown: list[Answer] = field(default_factory=list)  # the first ones in which no answer could be read
    lost: dict[Place, str] = field(default_factory=dict)  # and why
    answered: int = 0
    right: int = 0
    unparsed: int = 0
    tokens: int = 0
    tool_calls: int = 0
    tool_timeouts: int = 0
    wall_s: float = 0.0
    stops: Counter[str] = field(default_factory=Counter)
    _index: dict[str, int] = field(init=False)
    _reads: dict[Place, tuple[str | None, str | None]] = field(default_factory=dict)  # of sampled answers

    def __post_init__(self) -> None:
        """
        Raises:
            RunError: two problems have one id.
        """
        problems, samples = self.wanted.problems, self.wanted.samples
        self.strict, self.paper = (Marks.unknown(len(problems), samples) for _ in range(2))
        self._index = {problem.task.id: n for n, problem in enumerate(problems)}
        if len(self._index) < len(problems):
            twice = next(id for id, count in Counter(p.task.id for p in problems).items() if count > 1)
            raise RunError("two problems of the suite have one id", where=twice, fix="give each an id of its own")

    def take_all(self, records: Records) -> None:
        """What earlier sessions wrote down.

        Raises:
            RunError: two lines answer one question, or a line is damaged.
        """
        for number, answer in enumerate(records, start=1):
            if (place := self.place_of(answer)) is not None and not answer.fault and self.knows(place):
                raise RunError(
                    f"there are two answers to {which(answer)}",
                    where=f"{records.path}, line {number}",
                    fix="take one of the two lines out",
                )
            self.take(answer)

    def place_of(self, answer: Answer) -> Place | None:
        """Where an answer belongs; None for one that is not wanted this time."""
        n = self._index.get(answer.problem)
        wanted = self.wanted.greedy if answer.sample == GREEDY else 0 <= answer.sample < self.wanted.samples
        return Place(n, answer.sample) if n is not None and wanted else None

    def knows(self, place: Place) -> bool:
        """Whether there is an answer."""
        marks = self.strict.greedy[place.problem] if place.greedy else self.strict.sampled[place]
        return bool(marks >= 0)

    def missing(self) -> list[Place]:
        """What is still to be asked, in order."""
        return [place for place in self.wanted.places() if not self.knows(place)]

    def take(self, answer: Answer) -> None:
        """Count an answer; one that is not wanted changes nothing."""
        place = self.place_of(answer)
        if place is None:
            return
        self.wall_s += answer.elapsed_s
        if answer.fault:
            self.lost[place] = answer.fault
            return
        self.lost.pop(place, None)
        for marks, right in ((self.strict, answer.right), (self.paper, answer.paper)):
            if place.greedy:
                marks.greedy[place.problem] = right
            else:
                marks.sampled[place] = right
        if not place.greedy:
            self._reads[place] = (answer.read, answer.paper_read)
        self.answered += 1
        self.right += answer.right
        self.stops[answer.stop] += 1
        self.tokens += answer.tokens
        self.tool_calls += answer.tool_calls
        self.tool_timeouts += answer.tool_timeouts
        if answer.read is None:
            self.unparsed += 1
            if len(self.shown) < _SHOWN:
                self.shown.append(replace(answer, text=answer.text[-600:]))

    def result(self, marker: Marker, *, seed: int, alarm: str = "") -> SuiteResult:
        """The figures so far; complete where nothing is missing but what is lost."""
        wanted, problems = self.wanted, self.wanted.problems
        sampled = wanted.samples > 0
        error, interval = scatter(self.strict.rates if sampled else self.strict.once)
        strict = rates_of(self.strict, self._majorities(marker, 0) if sampled else None)
        return SuiteResult(
            n=len(problems),
            k=wanted.samples,
            greedy=mean_of(self.strict.once),
            mean=mean_of(self.strict.rates),
            se=error,
            ci95=interval,
            majority=strict.majority,
            pass_at=self.strict.pass_at(),
            answers=wanted.answers,
            unparsed=self.unparsed,
            cut_off=self.stops[CUT_OFF],
            lost=len(self.lost),
            faults=tuple(self._faults()),
            tool_timeouts=self.tool_timeouts,
            tokens=self.tokens,
            tool_calls=self.tool_calls,
            wall_s=round(self.wall_s, 3),
            paper=rates_of(self.paper, self._majorities(marker, 1) if sampled else None),
            digest=wanted.digest,
            copy=wanted.copy,
            licence=wanted.licence,
            by_level=parts([problem.level for problem in problems], self.strict),
            by_topic=parts([problem.topic for problem in problems], self.strict),
            seed=seed,
            notes=wanted.notes,
            alarm=alarm,
            complete=self.answered + len(self.lost) == wanted.answers,
        )

    def _faults(self) -> Iterator[str]:
        for place, reason in islice(self.lost.items(), _SHOWN):
            yield f"{named(self.wanted.problems[place.problem].task.id, place.sample)}: {reason}"

    def _majorities(self, marker: Marker, mode: int) -> Sequence[bool]:
        """Whether the majority answer of each problem is right, of those with at least one sampled answer."""
        out = []
        for n, problem in enumerate(self.wanted.problems):
            found = (self._reads.get(Place(n, k)) for k in range(self.wanted.samples))
            reads = [read[mode] for read in found if read is not None]
            if reads:
                out.append(marker.majority_right(problem, reads))
        return out


def which(answer: Answer) -> str:
    """``sample 3 of gsm8k-17`` or ``the greedy answer of gsm8k-17``."""
    return named(answer.problem, answer.sample)


def named(problem: str, sample: int) -> str:
    """The answer to a problem in words."""
    return f"{'the greedy answer' if sample == GREEDY else f'sample {sample}'} of {problem}"
