"""Counts of a few texts made by hand, against numbers counted by eye."""

from __future__ import annotations

import numpy as np

from coevolve.curriculum.voting import vote
from coevolve.methods.counting import count_answers, count_texts
from coevolve.methods.questions import Written
from coevolve.types import Group, Origin, StopReason, Task, ToolCall, Trajectory

END = 7
ORIGIN = Origin("agent0", "proposer", 0)


def text(written: str, *, stop: StopReason = StopReason.EOS, end: bool = False, **more: object) -> Trajectory:
    """Four sampled tokens of one nat each, the last of them an end token where asked."""
    tokens = np.array([1, 2, 3, END if end else 4], np.int32)
    values: dict[str, object] = {
        "task_id": "t",
        "sample": 0,
        "prompt": np.zeros(1, np.int32),
        "tokens": tokens,
        "mask": np.ones(4, np.bool_),
        "logprobs": np.full(4, -1, np.float32),
        "text": written,
        "tool_calls": (),
        "answer": None,
        "stop": stop,
        "policy": "base",
        "policy_versions": (0,),
        "contract": "",
    }
    return Trajectory(**values | more)  # type: ignore[arg-type]


def task(question: str) -> Task:
    return Task("t", (question,), "chain", ORIGIN)


def test_texts_of_a_proposer_are_counted_by_what_is_in_them() -> None:
    asked = "<question>What is 3 plus 4?</question>\n\\boxed{7}"
    written = [
        Written(text(asked, end=True), "What is 3 plus 4?", task("What is 3 plus 4?")),
        Written(text(asked), "What is 3 plus 4?", task("What is 3 plus 4?")),
        Written(text("<question>What is", stop=StopReason.LENGTH), "", None),
        Written(text("Once upon a time"), "", None),
        Written(text(" \n", end=True), "", None),
    ]
    found = count_texts(written, "", {END})
    assert (found.texts, found.empty, found.tagged, found.well_formed, found.different) == (5, 1, 3, 2, 1)
    assert (found.boxed, found.cut_off, found.end_tokens, found.tokens, found.entropy) == (2, 1, 2, 20, 1.0)
    assert count_texts(written, "<question>", {END}).tagged == 5  # the end of the prompt is part of what is written


def test_answers_are_counted_by_programs_boxes_and_ends() -> None:
    program = "```python\nprint(3 + 4)\n```\n"
    failed = ToolCall("x", "NameError: name 'length' is not defined", "error")
    answers = (
        text(f"{program}```output\n7\n```\n\\boxed{{7}}", answer="7", end=True, tool_calls=(ToolCall("", "7", "ok"),)),
        text(f"{program}so it is 7.", unrun=1),
        text("```python\nprint(3", stop=StopReason.LENGTH),
        text("\\boxed{NameError: name'length'is not defined}", answer="NameError: ...", tool_calls=(failed,)),
        text("\\boxed{3 + 4}", answer="3+4", tool_calls=(ToolCall("", "(nothing was printed)", "ok"),)),
        text("```output", stop=StopReason.PROTOCOL),
        text("", stop=StopReason.INFRASTRUCTURE),  # lost: says nothing
    )
    found = count_answers([Group(task("What is 3 + 4?"), answers, vote([x.answer for x in answers]))], {END})
    assert (found.answers, found.opened, found.closed, found.ran, found.unrun) == (6, 3, 2, 3, 1)
    assert (found.calls, found.calls_ok, found.silent) == (3, 2, 1)
    assert (found.boxed, found.answered, found.echoes, found.unevaluated) == (3, 3, 1, 1)
    assert (found.cut_off, found.forged, found.too_many_calls, found.end_tokens) == (1, 1, 0, 1)


def test_of_no_texts_nothing_is_known() -> None:
    assert count_texts([], "", {END}).entropy is None
    assert count_answers([], {END}).answers == 0
