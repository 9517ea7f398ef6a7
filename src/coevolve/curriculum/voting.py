"""The majority answer of a task and how consistent the votes are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from coevolve.grading.canonical import canonical
from coevolve.grading.equivalence import OWN_RULES, Judge
from coevolve.types import Vote


def vote(answers: Sequence[str | None], *, judge: Judge = OWN_RULES) -> Vote:
    """Vote over the k answers of one task.

    Answers that the judge puts into one class vote together. None, and text without an answer, casts no vote but counts
    in the denominator k = len(answers), so a solver that does not finish looks uncertain. The largest class wins; among
    equally large ones the first by canonical key, recorded in ``tied``. The result does not depend on the
    order of the answers: ``Vote.answer`` is a canonical key of the class (its shortest strong form), not one of its
    spellings. A pair that math-verify did not decide in time counts as different and is recorded, and so is one that
    was not compared because the budget of the vote was used up.

    Source: Agent0 (arXiv 2511.16043), section 3.2, p_hat.

    Raises:
        ValueError: there are no answers at all, which leaves p_hat undefined.
    """
    if not answers:
        raise ValueError("a vote needs at least one answer (None counts as a missing one)")
    classes = judge.classes(answers)
    sizes = [len(members) for members in classes.members]
    return Vote(
        answer=classes.keys[0] if sizes else None,
        p_hat=sizes[0] / len(answers) if sizes else 0.0,
        k=len(answers),
        valid=sum(sizes),
        counts=tuple(zip(classes.keys, sizes, strict=True)),
        tied=len(sizes) > 1 and sizes[1] == sizes[0],
        forms=classes.forms,
        timeouts=classes.timeouts,
        skipped=classes.skipped,
    )


def pool_votes(answers_by_policy: Sequence[Sequence[str | None]], *, judge: Judge = OWN_RULES) -> Vote:
    """One vote over the answers of several policies to the same task; k is the number of all answers.

    Every answer counts the same, whoever gave it. Pooling an older policy keeps a newer one from confirming
    its own mistakes.

    Raises:
        ValueError: no policy gave an answer.
    """
    return vote([answer for answers in answers_by_policy for answer in answers], judge=judge)


def vote_entropy(result: Vote) -> float:
    """The entropy of a vote, in nats: of the shares of its classes among all k answers.

    A missing answer agrees with no other, so each is a class of its own. 0 where all k answers are the same, ln k
    where no two are.
    """
    sizes = [votes for _, votes in result.counts] + [1] * (result.k - result.valid)
    return math.log(result.k) - sum(n * math.log(n) for n in sizes) / result.k


def agrees(answer: str | None, result: Vote, *, judge: Judge = OWN_RULES) -> bool:
    """Whether an answer belongs to the majority class; a missing answer never does.

    An answer that has voted belongs to the class it was counted in. Any other is compared with ``Vote.answer``.

    Args:
        answer: None for a missing one.
        result: the vote.
        judge: the one that made the vote.
    """
    if answer is None or result.answer is None:
        return False
    place = counted_as(canonical(answer), result.forms)
    return place == 0 if place is not None else judge.same(answer, result.answer).same


def counted_as(key: str | None, forms: Sequence[Sequence[str]]) -> int | None:
    """The index of the class that a canonical key was counted in, None for one that has not voted."""
    return next((index for index, keys in enumerate(forms) if key in keys), None)
