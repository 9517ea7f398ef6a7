"""The meter's view of the miniature world: true answers and held-out problems. Learning code never reaches it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import cycle
from typing import TypeVar

from coevolve.config import EvaluationSection
from coevolve.types import PROPOSER, Origin, Task
from coevolve.worlds.base import HELD_OUT, TRANSFER, Problem, Suite
from coevolve.worlds.miniature.generator import Chain, questions, usual_operations
from coevolve.worlds.miniature.grammar import MAX_STEPS, questions_so_far, user_turns
from coevolve.worlds.miniature.operations import RARE
from coevolve.worlds.miniature.truth import answer

CORPUS_LEVELS = 5
MORE_STEPS = 6
DIALOGUE_TURNS = (2, 3, 4)
TRANSFER_SETS = ("more_steps", "rare_operation", "paraphrase")
_TRANSFER_LEVELS = (1, 2, 3)  # of the sets that change the wording or the operation, in turn
Kind = TypeVar("Kind", int, str)


class MiniatureMeter:
    """Implements ``coevolve.worlds.base.Meter``."""

    knows_labels = knows_all_labels = True

    def __init__(self, *, all_turns: bool = False) -> None:
        """
        Args:
            all_turns: a dialogue's true answer is that to all of its turns, "(3, 14)"; else that to the last one.
        """
        self._all_turns = all_turns

    def truth(self, task: Task) -> str | None:
        """The true answer of a task, or None when its question is malformed."""
        if not self._all_turns or len(task.turns) == 1:
            return answer(task.question)
        answers = [answer(question) for question in questions_so_far(task.question, len(task.turns))]
        return None if None in answers else f"({', '.join(map(str, answers))})"

    def suites(self, section: EvaluationSection, seed: int) -> tuple[Suite, ...]:
        """Levels, which are numbers of steps; sets of problems unlike the corpus; dialogues by number of user turns."""
        n, samples = section.per_level, section.samples
        levels = [
            Suite(HELD_OUT, str(x), n, samples, self._load(held_out, x, n, seed), greedy=True, is_level=True)
            for x in range(1, section.levels + 1)
        ]
        n, samples = section.transfer_per_set, section.transfer_samples
        sets = [Suite(TRANSFER, x, n, samples, self._load(transfer_set, x, n, seed)) for x in TRANSFER_SETS]
        n = section.dialogues
        talks = [
            Suite(TRANSFER, f"dialogue_{x}", n, samples, self._load(held_out_dialogues, x, n, seed), turns=x)
            for x in DIALOGUE_TURNS
        ]
        return tuple(suite for suite in (*levels, *sets, *talks) if suite.size)

    def _load(
        self, tasks: Callable[[Kind, int, int], Sequence[Task]], kind: Kind, n: int, seed: int
    ) -> Callable[[], Sequence[Problem]]:
        return lambda: [Problem(task, self.truth(task)) for task in tasks(kind, n, seed)]


def held_out(level: int, n: int, seed: int) -> tuple[Task, ...]:
    """``n`` different reserved tasks of ``level`` steps with the usual operations and wordings."""
    rng = random.Random(f"held-out {level} {seed}")
    return _tasks(questions(rng, level, reserved=True, operations=usual_operations()), n, f"level-{level}")


def held_out_dialogues(turns: int, n: int, seed: int) -> tuple[Task, ...]:
    """``n`` held-out chains of so many steps, each asked in as many turns."""
    chains = held_out(turns, n, seed + turns)
    return tuple(replace(task, turns=user_turns(task.question, MAX_STEPS), written=task.question) for task in chains)


def transfer_set(name: str, n: int, seed: int) -> tuple[Task, ...]:
    """``n`` reserved tasks unlike the corpus.

    Args:
        name: ``more_steps`` has one step more than any document, ``rare_operation`` an operation that is in about
            one step in a hundred, ``paraphrase`` only wordings as rare as that."""
    return _transfer_sets(n, seed)[name]


@cache
def _transfer_sets(n: int, seed: int) -> Mapping[str, tuple[Task, ...]]:
    """All of them at once: they share their random numbers."""
    rng = random.Random(f"transfer {seed}")
    usual = usual_operations()
    rare = _in_turn(
        [questions(rng, level, reserved=True, must_use=RARE, operations=usual) for level in _TRANSFER_LEVELS]
    )
    reworded = _in_turn(
        [questions(rng, level, reserved=True, operations=usual, paraphrased=1.0) for level in _TRANSFER_LEVELS]
    )
    return {
        "more_steps": _tasks(questions(rng, MORE_STEPS, reserved=True, operations=usual), n, "more-steps"),
        "rare_operation": _tasks(rare, n, "rare-operation"),
        "paraphrase": _tasks(reworded, n, "paraphrase"),
    }


def _in_turn(sources: list[Iterator[Chain]]) -> Iterator[Chain]:
    for source in cycle(sources):
        yield next(source)


def _tasks(source: Iterator[Chain], n: int, prefix: str) -> tuple[Task, ...]:
    """The first ``n`` different questions as tasks. Equal questions have equal ids."""
    origin = Origin(method="world", agent=PROPOSER, iteration=0)
    texts: dict[str, None] = {}
    while len(texts) < n:
        texts[next(source).text] = None
    return tuple(Task(f"{prefix}-{_digest(text)}", (text,), "chain", origin) for text in texts)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
