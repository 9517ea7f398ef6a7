"""Labels that working tool calls stand behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from coevolve.methods.labels import relabelled, verified_label
from coevolve.types import LabelledTask, ToolCall, Trajectory

Make = Callable[..., Trajectory]
OK, FAILED = ToolCall("print(1)", "1", "ok"), ToolCall("print(", "SyntaxError", "error")


@pytest.mark.parametrize(
    ("answers", "label", "share"),
    [
        ([("6", (OK,)), ("6.0", (OK, OK))], "6", 1.0),
        ([("6", (OK,)), ("6", (OK,)), ("7", (OK,))], "6", 2 / 3),
        ([("7", ()), ("7", ()), ("7", ()), ("6", (OK,)), ("6", (OK,))], "6", 1.0),
        ([("7", (OK, FAILED)), ("7", (FAILED,)), ("6", (OK,)), ("6", (OK,)), (None, (OK,))], "6", 1.0),
        ([("6", (OK,))], None, 0),  # one alone settles nothing
        ([("6", (OK,)), ("6", ())], None, 0),  # the second never used the tool
        ([("6", (OK,)), ("6", (OK,)), ("7", (OK,)), ("7", (OK,))], None, 0),  # no majority
        ([("6", (OK,)), ("6", (OK,)), ("7", (OK,)), ("8", (OK,))], None, 0),  # half is not more than half
        ([(None, (OK,)), (None, (OK,))], None, 0),
        ([], None, 0),
    ],
)
def test_a_label_needs_two_working_answers_that_agree_and_a_majority(
    answers: list[tuple[str | None, tuple[ToolCall, ...]]],
    label: str | None,
    share: float,
    trajectory: Make,
    labelled: Callable[..., LabelledTask],
) -> None:
    task = labelled("t").task
    group = [replace(trajectory(answer=answer), tool_calls=calls) for answer, calls in answers]
    found = verified_label(task, group)
    assert (found and found.label) == label
    if found:
        assert found.task is task
        assert found.p_hat == pytest.approx(share)


@pytest.mark.parametrize(
    ("counts", "answers", "label"),
    [
        ((("6", 5), ("7", 3)), ["7", "7"], "6"),  # five to five: the first by key
        ((("6", 5), ("7", 3)), ["7", "7", "7.0"], "7"),
        ((("6", 5), ("7", 3)), [None, None, None], "6"),
        ((), ["7", "7"], "7"),
    ],
)
def test_a_label_is_the_majority_of_the_pool_and_the_training_group_together(
    counts: tuple[tuple[str, int], ...],
    answers: list[str | None],
    label: str,
    trajectory: Make,
    labelled: Callable[..., LabelledTask],
) -> None:
    task = replace(labelled("t", label="6", p_hat=0.625), counts=counts)
    found = relabelled(task, [trajectory(answer=answer) for answer in answers])
    assert (found.label, found.p_hat, found.task) == (label, 0.625, task.task)


def test_a_label_stays_where_nobody_gives_another(trajectory: Make, labelled: Callable[..., LabelledTask]) -> None:
    task = labelled("t", label="6")
    assert relabelled(task, [trajectory(answer=None)]) is task


def test_what_calls_a_question_unanswerable_is_no_label(
    trajectory: Make, labelled: Callable[..., LabelledTask]
) -> None:
    group = [trajectory(answer="no answer", calls=1)] * 3 + [trajectory(answer="7", calls=1)] * 2
    assert verified_label(labelled("t").task, group, refusal="No answer") == LabelledTask(labelled("t").task, "7", 1.0)
    task = replace(labelled("t", label="6"), counts=(("6", 1),))
    assert relabelled(task, group, refusal="No answer").label == "7"
