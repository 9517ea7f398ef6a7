"""The judge of a run: whether two answers are the same, and which classes many answers form.

Stages, cheapest first; the first that can decide does: equal canonical keys, our own structures and values
(``pairs.py``), and for what these leave open math-verify in a worker process (``symbolic.py``)."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from time import monotonic
from types import TracebackType

from coevolve.config import GradingSection
from coevolve.grading.canonical import canonical
from coevolve.grading.classes import Budget, Classes, Rules, largest_first, partition
from coevolve.grading.pairs import decide, distance, effort, parsed, weaker
from coevolve.grading.symbolic import Outcome, SymbolicPool, installed_version, symbolic_version
from coevolve.grading.verdict import Stage, Verdict

GROUP_TIMEOUTS = 4  # what one group of answers may take of math-verify, in multiples of the time for one pair
REMEMBERED = 65_536  # answers, and pairs of answers, of one judge
_INTEGER = re.compile(r"-?[0-9]+")
_RATIONAL = re.compile(r"-?[0-9]+(?:/[0-9]+)?")

_BY_OUTCOME = {
    Outcome.SAME: Verdict(True, Stage.SYMBOLIC, "math-verify finds both the same"),
    Outcome.DIFFERENT: Verdict(False, Stage.SYMBOLIC, "math-verify does not find both the same"),
    Outcome.TIMEOUT: Verdict(False, Stage.TIMEOUT, "math-verify did not finish in time, which counts as different"),
    Outcome.LOST: Verdict(False, Stage.TIMEOUT, "the process of math-verify was lost, which counts as different"),
}
_MISSING = Verdict(False, Stage.MISSING, "a missing answer equals nothing")
_EQUAL_KEYS = Verdict(True, Stage.TEXT, "both have the same canonical text")
_EQUAL_NUMBERS = Verdict(True, Stage.NUMBER, "both are the same number")
_OTHER_NUMBERS = Verdict(False, Stage.NUMBER, "these are different numbers")
_NOT_RENDERED = Verdict(False, Stage.SYMBOLIC, "neither our own rules nor math-verify can read both")
_NOT_ASKED = "our own rules leave it open and math-verify is {}, which counts as different"


@dataclass(frozen=True, slots=True)
class JudgeStats:
    """Totals of a judge."""

    pairs: int  # pairs decided, those remembered from before included
    by_stage: Mapping[Stage, int]  # how often each stage decided
    timeouts: int  # pairs that count as different because math-verify did not finish
    cache_hits: int  # pairs remembered from before


class Judge:
    """Decides pairs and classes; one per run. Thread-safe; in a coroutine use ``asyncio.to_thread``.

    Equal keys are decided at once, every other verdict is cached. Worker processes start with the first pair that needs
    one, and end with ``close``.

    Args:
        symbolic: ask math-verify about what our own rules leave open. Without math-verify that stage is absent, see
            ``symbolic_stage``.
        timeout_s: wall seconds per question to math-verify; after that the pair counts as different.
        workers: maximum number of math-verify processes."""

    def __init__(self, *, symbolic: bool = True, timeout_s: float = 2.0, workers: int = 1) -> None:
        self._timeout_s = timeout_s
        with_pool = symbolic and installed_version() is not None
        self._pool = SymbolicPool(timeout_s=timeout_s, workers=workers) if with_pool else None
        reason = _NOT_ASKED.format("not installed" if symbolic else "switched off")
        self._not_asked = Verdict(False, Stage.SYMBOLIC, reason)
        self._parsed = lru_cache(REMEMBERED)(parsed)
        self._decided = lru_cache(REMEMBERED)(self._decide)
        self._asked = lru_cache(REMEMBERED)(self._ask)
        self._rules = Rules(
            class_key=lambda x: self._parsed(x).class_key,
            own=self._own,
            weaker=self._weaker,
            symbolic=self._symbolic,
            distance=self._distance,
            effort=lambda x, y: effort(self._parsed(x), self._parsed(y)),
        )
        self._lock = threading.Lock()  # of the counts
        self._by_stage: Counter[Stage] = Counter()

    @property
    def symbolic_stage(self) -> bool:
        """Whether math-verify is asked."""
        return self._pool is not None

    @property
    def worker_processes(self) -> tuple[int, ...]:
        """The ids of the processes that run math-verify now."""
        return self._pool.processes if self._pool else ()

    @property
    def stats(self) -> JudgeStats:
        """The counts up to now."""
        with self._lock:
            by_stage = dict(self._by_stage)
        hits = self._decided.cache_info().hits
        return JudgeStats(sum(by_stage.values()), by_stage, by_stage.get(Stage.TIMEOUT, 0), hits)

    def same(self, first: str, second: str) -> Verdict:
        """Whether two answers are the same, by which stage, and why. Symmetric; raises nothing."""
        verdict = self._by_key(canonical(first), canonical(second))
        if verdict is not None:
            return self._counted(verdict)
        return self._own(first, second) or self._symbolic(first, second)

    def classes(self, answers: Sequence[str | None]) -> Classes:
        """Partition the answers into classes of equal ones, independent of their order.

        The comparisons of one group have a budget (``classes.Budget``); what is left when it is used up is different.
        A missing answer is in no class. Pairwise verdicts do not always form classes: 5 is the same as 5 cm and as 5 m.
        Such a weak form joins the class of the strong one if there is only one."""
        members: dict[str, list[int]] = {}
        for index, answer in enumerate(answers):
            key = canonical(answer) if answer is not None else None
            if key is not None:
                members.setdefault(key, []).append(index)
        if len(members) < 2 or all(map(_INTEGER.fullmatch, members)):
            return largest_first([((key,), indices) for key, indices in members.items()])
        spellings = {key: sorted({str(answers[i]).strip() for i in indices}) for key, indices in members.items()}
        budget = Budget(seconds=GROUP_TIMEOUTS * self._timeout_s)

        def ask(first: str, second: str) -> Verdict:
            verdict, seconds = self._asked(*sorted((first.strip(), second.strip())))
            budget.seconds -= seconds
            return self._counted(verdict)

        groups, timeouts = partition(spellings, replace(self._rules, symbolic=ask), budget)
        grouped = [(keys, sorted(i for key in keys for i in members[key])) for keys in groups]
        return largest_first(grouped, timeouts, budget.skipped)

    def close(self) -> None:
        """End the worker processes; pairs that would need one afterwards count as different."""
        if self._pool is not None:
            self._pool.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _by_key(self, first: str | None, second: str | None) -> Verdict | None:
        """The verdict of the canonical keys alone, None when they do not decide."""
        if first is None or second is None:
            return _MISSING
        if first == second:
            return _EQUAL_NUMBERS if _RATIONAL.fullmatch(first) else _EQUAL_KEYS
        return _OTHER_NUMBERS if _INTEGER.fullmatch(first) and _INTEGER.fullmatch(second) else None

    def _own(self, first: str, second: str) -> Verdict | None:
        """The cached verdict of our own rules on two spellings, None when they leave it open."""
        verdict = self._decided(*sorted((first.strip(), second.strip())))
        return self._counted(verdict) if verdict else None

    def _symbolic(self, first: str, second: str) -> Verdict:
        return self._counted(self._asked(*sorted((first.strip(), second.strip())))[0])

    def _counted(self, verdict: Verdict) -> Verdict:
        with self._lock:
            self._by_stage[verdict.stage] += 1
        return verdict

    def _weaker(self, first: str, second: str) -> bool:
        return weaker(self._parsed(first), self._parsed(second))

    def _distance(self, first: str, second: str) -> Fraction | None:
        return distance(self._parsed(first), self._parsed(second))

    def _decide(self, first: str, second: str) -> Verdict | None:
        a, b = self._parsed(first), self._parsed(second)
        if self._pool is not None and "expression" in (a.kind, b.kind):
            self._pool.prepare()  # where there are expressions it is likely to be asked before long
        return decide(a, b)

    def _ask(self, first: str, second: str) -> tuple[Verdict, float]:
        """The verdict of math-verify, and the seconds of its time that it took; both are remembered."""
        if self._pool is None:
            return self._not_asked, 0.0
        a, b = self._parsed(first).latex, self._parsed(second).latex
        if a is None or b is None:
            return _NOT_RENDERED, 0.0
        began = monotonic()
        outcome = self._pool.compare(a, b)
        return _BY_OUTCOME[outcome], min(monotonic() - began, self._timeout_s)  # a worker may have had to start


def open_judge(section: GradingSection) -> Judge:
    """The judge of a run.

    Raises:
        ConfigError: math-verify is required but not installed."""
    return Judge(symbolic=symbolic_version(section.symbolic) is not None, timeout_s=section.timeout_s)


# For answers that are all numbers or words, and where no worker process may start. It holds no process.
OWN_RULES = Judge(symbolic=False)
