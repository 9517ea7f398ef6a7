"""Pseudo-labels against answers: what is rewarded, and which labels a tool stands behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from coevolve.curriculum.checks import refuses
from coevolve.curriculum.voting import vote
from coevolve.grading.equivalence import OWN_RULES, Judge
from coevolve.types import LabelledTask, Task, Trajectory

VERIFIED_VOTES = 2  # answers with working tool calls that must agree


def label_rewards(task: LabelledTask, group: Sequence[Trajectory], *, judge: Judge = OWN_RULES) -> np.ndarray:
    """1 for every trajectory whose answer is the pseudo-label, else 0 (methods: executor reward)."""
    return np.array([float(x.answer is not None and judge.same(x.answer, task.label).same) for x in group])


def verified_label(
    task: Task, group: Sequence[Trajectory], *, judge: Judge = OWN_RULES, refusal: str = ""
) -> LabelledTask | None:
    """The task with the label that its tool-verified answers give it; None where they give none.

    An answer is tool-verified when its trajectory made at least one tool call and all of them worked. The label is
    their majority: at least two of them agree, and more than half do. ``p_hat`` is the share of the verified ones.
    What says ``refusal`` is no answer.
    """
    answers = [x.answer for x in group if x.tool_calls and _all_worked(x) and not refuses(x.answer, refusal)]
    verified = [answer for answer in answers if answer is not None]
    if not verified:
        return None
    result = vote(verified, judge=judge)
    if result.answer is None or result.counts[0][1] < VERIFIED_VOTES or result.p_hat <= 0.5:
        return None
    return LabelledTask(task, result.answer, result.p_hat)


def relabelled(
    task: LabelledTask, group: Sequence[Trajectory], *, judge: Judge = OWN_RULES, refusal: str = ""
) -> LabelledTask:
    """The task with the majority of its pool's votes and the answers of a training group together.

    A vote of the pool and an answer of the group count the same; p_hat stays that of the pool, at which it passed the
    gate. What says ``refusal`` is no vote. Not in the paper, whose labels are frozen.
    """
    pool = [answer for answer, votes in task.counts for _ in range(votes)]
    more = [None if refuses(x.answer, refusal) else x.answer for x in group if not x.lost]
    result = vote([*pool, *more] or [None], judge=judge)
    return replace(task, label=result.answer) if result.answer is not None else task


def _all_worked(trajectory: Trajectory) -> bool:
    return all(call.status == "ok" for call in trajectory.tool_calls)
