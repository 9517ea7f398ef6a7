"""The meter's view of the miniature world: true answers, held-out tasks, transfer sets. Never learnt from."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle

from coevolve.types import PROPOSER, Origin, Task
from coevolve.worlds.miniature.generator import Chain, questions, usual_operations
from coevolve.worlds.miniature.grammar import MAX_STEPS, questions_so_far, user_turns
from coevolve.worlds.miniature.operations import RARE
from coevolve.worlds.miniature.truth import answer

CORPUS_LEVELS = 5
MORE_STEPS = 6
DIALOGUE_TURNS = (2, 3, 4)
_TRANSFER_LEVELS = (1, 2, 3)  # of the sets that change the wording or the operation, in turn


class MiniatureMeter:
    """Implements ``coevolve.worlds.base.Meter``."""

    knows_answers = True

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

    def held_out(self, level: int, n: int, seed: int) -> list[Task]:
        """``n`` different reserved tasks of ``level`` steps with the usual operations and wordings."""
        rng = random.Random(f"held-out {level} {seed}")
        source = questions(rng, level, reserved=True, operations=usual_operations())
        return _tasks(source, n, f"level-{level}")

    def dialogues(self, n: int, seed: int) -> dict[str, list[Task]]:
        """Held-out chains of two, three and four steps, each asked in as many turns."""
        sets = {f"dialogue_{turns}": self.held_out(turns, n, seed + turns) for turns in DIALOGUE_TURNS}
        return {
            name: [replace(task, turns=user_turns(task.question, MAX_STEPS), written=task.question) for task in tasks]
            for name, tasks in sets.items()
        }

    def transfer_sets(self, n: int, seed: int) -> dict[str, list[Task]]:
        """Reserved tasks unlike the corpus.

        ``more_steps`` has one step more than any document, ``rare_operation`` an operation that is in about
        one step in a hundred, ``paraphrase`` only wordings that are.
        """
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


def _tasks(source: Iterator[Chain], n: int, prefix: str) -> list[Task]:
    """The first ``n`` different questions as tasks. Equal questions have equal ids."""
    origin = Origin(method="world", agent=PROPOSER, iteration=0)
    texts: dict[str, None] = {}
    while len(texts) < n:
        texts[next(source).text] = None
    return [Task(f"{prefix}-{_digest(text)}", (text,), "chain", origin) for text in texts]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
