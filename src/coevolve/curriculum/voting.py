"""The majority answer of a task and how consistent the solvers are about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from coevolve.grading.canonical import canonical
from coevolve.types import Vote


def vote(answers: Sequence[str | None]) -> Vote:
    """Vote over the k answers of one task.

    Answers are grouped by canonical key. None, and text that holds no answer, is never a vote but stays in
    the denominator k = len(answers), so an executor that does not finish looks uncertain. The largest class
    wins; among equally large ones the first by canonical key, recorded in ``tied``. The result does not
    depend on the order of the answers: ``Vote.answer`` is the canonical key of the class, not one of its
    spellings.

    Source: Agent0 (arXiv 2511.16043), section 3.2, p_hat.

    Raises:
        ValueError: there are no answers at all, which leaves p_hat undefined.
    """
    if not answers:
        raise ValueError("a vote needs at least one answer (None counts as a missing one)")
    keys = (canonical(answer) for answer in answers if answer is not None)
    votes = Counter(key for key in keys if key is not None)
    counts = tuple(sorted(votes.items(), key=lambda item: (-item[1], item[0])))
    largest = counts[0][1] if counts else 0
    return Vote(
        answer=counts[0][0] if counts else None,
        p_hat=largest / len(answers),
        k=len(answers),
        valid=sum(votes.values()),
        counts=counts,
        tied=len(counts) > 1 and counts[1][1] == largest,
    )


def pool_votes(answers_by_policy: Sequence[Sequence[str | None]]) -> Vote:
    """One vote over the answers of several policies to the same task; k is the number of all answers.

    Every answer counts the same, whoever gave it. Pooling an older policy keeps a newer one from confirming
    its own mistakes.

    Raises:
        ValueError: no policy gave an answer.
    """
    return vote([answer for answers in answers_by_policy for answer in answers])


def agrees(answer: str | None, result: Vote) -> bool:
    """Whether an answer belongs to the majority class; a missing answer never does."""
    return answer is not None and result.answer is not None and canonical(answer) == result.answer
