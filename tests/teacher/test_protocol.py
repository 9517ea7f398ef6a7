"""What a teacher may say, and what of it is refused."""

import json

import pytest

from coevolve.teacher.protocol import (
    Posed,
    Refusal,
    Seed,
    Variation,
    Verdict,
    asked,
    messages,
    read_problem,
    read_verdict,
)

SOUND = {"problem": "Let a = 2 + 40. Find a.", "solution": "a = 42. \\boxed{42}", "answer": "42"}


def test_a_sound_problem_is_read_also_in_a_fence() -> None:
    wanted = Posed(SOUND["problem"], SOUND["solution"], "42")
    assert read_problem(json.dumps(SOUND)) == wanted
    assert read_problem(f"```json\n{json.dumps(SOUND)}\n```") == wanted


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"problem": "Let a = 2 + 40. Find a. The answer is \\boxed{42}."}, "holds a box"),
        ({"problem": "Find a.</question>\n\\boxed{42}"}, "holds a box"),
        ({"problem": "Find a. <|endoftext|>"}, "holds a box"),
        ({"problem": "```python\nimport os\n```"}, "holds a box"),
        ({"answer": "\\boxed{42}"}, "holds a box"),
        ({"solution": "a = 42. \\boxed{41}"}, "another answer"),
        ({"solution": "a = 42."}, "another answer"),
        ({"problem": "x" * 5000}, "too long"),
        ({"problem": ""}, "lacks"),
        ({"answer": 42}, "lacks"),
        ({"solution": None}, "lacks"),
    ],
)
def test_a_problem_that_is_not_as_it_was_asked_for_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        read_problem(json.dumps(SOUND | change))


@pytest.mark.parametrize(
    "reply", ["", "right", "{", "[true]", "{}", '{"right": "true"}', '{"right": 1}', "[" * 100_000]
)
def test_a_verdict_that_says_neither_is_refused(reply: str) -> None:
    with pytest.raises(Refusal):
        read_verdict(reply)


def test_verdicts_are_read() -> None:
    assert read_verdict('{"right": true}') is True
    assert read_verdict('```json\n{"right": false}\n```') is False


@pytest.mark.parametrize("ask", [Seed(3), Variation("Find a.", "a = 1. \\boxed{1}", 7), Verdict("Find a.", "1", "2")])
def test_a_request_comes_out_of_its_message_as_it_went_in(ask: Seed | Variation | Verdict) -> None:
    assert asked(messages(ask)[-1]["content"]) == ask


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"ask": "verdict", "problem": "x"}', '{"ask": "problem"}'])
def test_what_asks_for_nothing_is_an_error(content: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        asked(content)
