"""Classes of answers by our judge against greedy grouping by math-verify, and votes per second on whole numbers.

    python benchmarks/grading.py [--json] [--questions 200] [--answers 10]

Greedy grouping compares an answer with one representative of each group so far, in both directions, until one is the
same. It runs in this process, with the alarms of math-verify (5 s) and every answer parsed once for each question,
which is kinder to it than what is commonly done. Both see the same questions, see answers.py, in the same run; the
clock is the wall's, since the judge's workers are processes of their own.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter, process_time

from answers import Question, questions, whole_numbers

from coevolve.curriculum.voting import vote
from coevolve.grading.equivalence import Judge
from coevolve.grading.symbolic import installed_version

SEED = 20_251_123
FASTER, VOTES = 10, 20_000
Classes = list[list[int]]


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and the bound that it must reach; ``measured`` is None where there is nothing to compare with."""

    name: str
    bound: float
    unit: str
    measured: float | None

    @property
    def kept(self) -> bool | None:
        return None if self.measured is None else self.measured >= self.bound


@dataclass(frozen=True, slots=True)
class Grouped:
    """What grouping all questions took, and how many came out as they were made."""

    way: str
    seconds: float
    right: int


def grouped(way: str, asked: Sequence[Question], classes_of: Callable[[Sequence[str]], Classes]) -> Grouped:
    start = perf_counter()
    found = [classes_of(question.answers) for question in asked]
    seconds = perf_counter() - start
    right = sum(_as_sets(classes) == _truth(question) for classes, question in zip(found, asked, strict=True))
    return Grouped(way, seconds, right)


def greedy(answers: Sequence[str]) -> Classes:
    """Groups in order of appearance; an answer joins the first whose representative is the same to math-verify."""
    from math_verify import parse, verify

    read = [parse(answer if "$" in answer else f"${answer}$") for answer in answers]
    groups: Classes = []
    for index, answer in enumerate(read):
        for group in groups:
            first = read[group[0]]
            if verify(first, answer) or verify(answer, first):
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


def votes_per_second(count: int, answers: int) -> float:
    """Answers counted in a second of the processor, all of them plain integers; the judge is a new one."""
    groups = whole_numbers(count, answers, SEED)
    with Judge() as judge:
        start = process_time()
        for group in groups:
            vote(group, judge=judge)
        return count * answers / (process_time() - start)


def _as_sets(classes: Classes) -> set[frozenset[int]]:
    return {frozenset(group) for group in classes}


def _truth(question: Question) -> set[frozenset[int]]:
    return {frozenset(i for i, c in enumerate(question.classes) if c == wanted) for wanted in question.classes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--answers", type=int, default=10)
    options = parser.parse_args()
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    asked = questions(options.questions, options.answers, SEED)
    with Judge() as judge:
        ours = grouped("judge", asked, lambda answers: [list(group) for group in judge.classes(answers).members])
        stats = judge.stats
    ways, ratio = [ours], None
    if installed_version() is not None:
        greedy(asked[0].answers)  # its imports and tables
        theirs = grouped("greedy math-verify", asked, greedy)
        ways.append(theirs)
        ratio = theirs.seconds / ours.seconds
    goals = [
        Goal("judge against greedy math-verify", FASTER, "times as fast", ratio),
        Goal("votes on whole numbers", VOTES, "answers/s", votes_per_second(10 * options.questions, options.answers)),
    ]
    stages = {str(stage): count for stage, count in sorted(stats.by_stage.items())}
    if options.json:
        listed = [asdict(goal) | {"kept": goal.kept} for goal in goals]
        print(json.dumps({"goals": listed, "ways": [asdict(way) for way in ways], "pairs_by_stage": stages}, indent=2))
        return
    print(f"{'goal':36}{'must':>24}{'measured':>12}")
    for goal in goals:
        verdict = {None: "math-verify is not installed", True: "ok", False: "missed"}[goal.kept]
        measured = "" if goal.measured is None else f"{goal.measured:,.1f}"
        print(f"{goal.name:36}{f'>= {goal.bound:,} {goal.unit}':>24}{measured:>12}  {verdict}")
    print(f"\n{len(asked)} questions x {options.answers} answers{'seconds':>22}{'grouped rightly':>18}")
    for way in ways:
        print(f"{way.way:36}{way.seconds:11.2f}{f'{way.right} of {len(asked)}':>18}")
    print("\npairs that the judge decided, by stage: " + ", ".join(f"{name} {n}" for name, n in stages.items()))


if __name__ == "__main__":
    main()
