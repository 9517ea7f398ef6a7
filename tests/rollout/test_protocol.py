"""What the text of an agent means: which fences call the tool, and what counts as a question."""

from __future__ import annotations

import pytest

from coevolve.rollout.protocol import appended_observation, called_code, written_question

BLOCK = "```python\nprint(1)\n```\n"
FENCE = "```output\n"


@pytest.mark.parametrize(
    ("segment", "code"),
    [
        (BLOCK + FENCE, "print(1)"),
        (BLOCK + "```output", "print(1)"),
        ("a:\n" + BLOCK + "\n \n" + FENCE, "print(1)"),
        ("```python \nx = 1\nprint(x)\n``` \n" + FENCE, "x = 1\nprint(x)"),
        ("```python\nprint(1)```" + FENCE, "print(1)"),
        (BLOCK + "and then\n```python\nprint(2)\n```\n" + FENCE, "print(2)"),
        ("```python\nprint('` and ``')\n```\n" + FENCE, "print('` and ``')"),
        ("\\boxed{3}\n" + BLOCK + FENCE, "print(1)"),
    ],
)
def test_a_closed_block_right_before_the_output_fence_is_the_code(segment: str, code: str) -> None:
    assert called_code(segment) == code


@pytest.mark.parametrize(
    "segment",
    [
        FENCE,
        "the answer is 7\n" + FENCE,
        "```python\nprint(1)\n" + FENCE,
        "```python\nprint(1)" + FENCE,
        '```python\nprint("' + FENCE,
        '```python\nprint("```")\n' + FENCE,
        BLOCK + "so it prints\n" + FENCE,
        BLOCK + FENCE + "1\n```\n",
        BLOCK + FENCE + "1\n```\n" + FENCE,
        BLOCK + FENCE + FENCE,
        "```python print(1)\n```\n" + FENCE,
        "```pythonx\nprint(1)\n```\n" + FENCE,
        "```\nprint(1)\n```\n" + FENCE,
        BLOCK,
        "",
    ],
)
def test_every_other_output_fence_is_forged(segment: str) -> None:
    assert called_code(segment) is None


@pytest.mark.parametrize(
    "printed",
    ["7", "", "```", "````", "`````python", "a\n```\nb", "```output\n8\n```", "``\n`", "``", "`" * 11, "\n\n```\n\n"],
)
@pytest.mark.parametrize("segment", [BLOCK + "```output", BLOCK + FENCE])
def test_an_observation_cannot_close_its_block(segment: str, printed: str) -> None:
    appended = appended_observation(segment, printed)
    body = (segment + appended).removeprefix(BLOCK + FENCE)
    assert body.endswith("\n```\n")
    assert "```" not in body.removesuffix("```\n")
    assert called_code(segment + appended + FENCE) is None


def test_what_is_shown_is_what_was_printed() -> None:
    assert appended_observation("```output", "7") == "\n7\n```\n"
    assert appended_observation("```output\n", "7") == "7\n```\n"


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("<question>Find a.</question>", "Find a."),
        ("<question>\n Find a. \n</question>\n", "Find a."),
        ("<question>one</question> <question>two</question>", "two"),
        ("<question>one</question> <question>two", "one"),
        ("<question>outer <question>inner</question>", "inner"),
        ("<question>outer <question>inner</question> rest</question>", "inner"),
        ("<question>open", None),
        ("closed</question>", None),
        ("<question></question>", None),
        ("<question> \n </question>", None),
        ("<question>what does ```python\nprint(1)\n``` print?</question>", None),
        ("<question>good</question><question>```</question>", None),
        ("", None),
    ],
)
def test_a_question_is_the_last_complete_one_and_holds_no_fence(text: str, question: str | None) -> None:
    assert written_question(text) == question


def test_an_empty_block_is_no_call() -> None:
    assert called_code("```python\n```\n```output\n") is None
    assert called_code("```python\n  \n```\n```output\n") is None
