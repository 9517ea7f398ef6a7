"""The meter's view of the miniature world: true answers, held-out tasks, transfer sets. Never learnt from."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from itertools import cycle

from coevolve.types import Origin, Role, Task
from coevolve.worlds.miniature.generator import Chain, questions, usual_operations
from coevolve.worlds.miniature.operations import RARE
from coevolve.worlds.miniature.truth import answer

CORPUS_LEVELS = 5
MORE_STEPS = 6
_TRANSFER_LEVELS = (1, 2, 3)  # of the sets that change the wording or the operation, in turn


class MiniatureMeter:
    """Implements ``coevolve.worlds.base.Meter``."""

    knows_answers = True

    def truth(self, task: Task) -> str | None:
        """The true answer of a task, or None when its question is malformed."""
        return answer(task.question)

    def held_out(self, level: int, n: int, seed: int) -> list[Task]:
        """``n`` different reserved tasks of ``level`` steps with the usual operations and wordings."""
        rng = random.Random(f"held-out {level} {seed}")
        source = questions(rng, level, reserved=True, operations=usual_operations())
        return _tasks(source, n, f"level-{level}")

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
    origin = Origin(method="world", role=Role.PROPOSER, iteration=0)
    texts: dict[str, None] = {}
    while len(texts) < n:
        texts[next(source).text] = None
    return [Task(f"{prefix}-{_digest(text)}", (text,), "chain", origin) for text in texts]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
