"""The miniature world's own teacher: exact verdicts, sound problems, and the process that serves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coevolve.config.teaching import TeacherSection
from coevolve.errors import ConfigError
from coevolve.runs.teaching import open_teacher, require_teacher
from coevolve.teacher.offline import response
from coevolve.teacher.protocol import Posed, Seed, Variation, Verdict, messages, read_problem
from coevolve.worlds.miniature.grammar import is_reserved, operations_used, parse
from coevolve.worlds.miniature.teacher import reply, step_at_fault
from coevolve.worlds.miniature.truth import answer

CHAIN = "Let a = 43 * 80. Let b = the digit sum of a. Find b."  # 3440, 11


def test_its_problems_are_sound_and_none_is_reserved() -> None:
    for n in range(50):
        posed = read_problem(json.dumps(reply(Seed(n))))
        assert answer(posed.problem) == posed.answer
        assert not is_reserved(posed.problem)


def test_equal_requests_get_equal_replies_and_others_get_others() -> None:
    assert reply(Seed(1)) == reply(Seed(1))
    assert len({json.dumps(reply(Seed(n))) for n in range(50)}) > 45


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("a = 3440. b = 12. \\boxed{12}", 1),
        ("a = 3441. b = 12. \\boxed{12}", 0),
        ("a:\n```python\nprint(43+80)\n```\n```output\n123\n```\nb = 6. \\boxed{6}", 0),
        ("a:\n```python\nprint(43*80)\n```\n```output\n3440\n```\nb = 6. \\boxed{6}", 1),
        ("nonsense", 1),
    ],
)
def test_the_error_of_a_wrong_answer_is_found(text: str, step: int) -> None:
    steps = parse(CHAIN)
    assert steps is not None
    assert step_at_fault(steps, text) == step


def test_a_variation_practises_the_operation_that_went_wrong() -> None:
    for n in range(20):
        posed = read_problem(json.dumps(reply(Variation(CHAIN, "a = 3440. b = 12. \\boxed{12}", n))))
        assert "digit sum" in operations_used(posed.problem)
        assert answer(posed.problem) == posed.answer


@pytest.mark.parametrize(
    ("said", "right"), [("11", True), (" 11 ", True), ("011", True), ("12", False), ("11.0", False), ("ten", False)]
)
def test_verdicts_are_exact_whatever_the_reference_says(said: str, right: bool) -> None:
    assert reply(Verdict(CHAIN, "999", said)) == {"right": right}


def test_nothing_is_right_of_a_question_without_an_answer() -> None:
    assert reply(Verdict("Find b.", "11", "11")) == {"right": False}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"messages": []}', b'{"messages": [{"content": "hello"}]}'])
def test_a_request_that_is_none_is_refused(content: bytes) -> None:
    assert response(reply, content)[0] == 400


def test_a_response_counts_its_tokens() -> None:
    status, body = response(
        reply, json.dumps({"model": "m", "messages": messages(Verdict(CHAIN, "11", "11"))}).encode()
    )
    assert status == 200
    assert json.loads(body["choices"][0]["message"]["content"]) == {"right": True}
    assert body["usage"]["prompt_tokens"] > 0


def test_it_is_asked_over_http_in_a_process_of_its_own(tmp_path: Path) -> None:
    with open_teacher(TeacherSection(), "miniature", tmp_path) as teacher:
        assert teacher is not None
        (posed,) = teacher.problems([Seed(0)], 1)
        assert isinstance(posed, Posed)
        assert teacher.verdicts([Verdict(posed.problem, posed.answer, posed.answer)], 1) == [True]
        assert teacher.spent(1).requests == 2
        assert teacher.prices.cost(teacher.spent()) == 0.0


def test_a_world_without_a_teacher_says_so() -> None:
    with pytest.raises(ConfigError, match="world open has no teacher"):
        require_teacher(TeacherSection(), "open")
