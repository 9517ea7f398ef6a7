"""What is known of a question and its answers without a true answer, by cases that real models wrote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from coevolve.curriculum.checks import CHECKS, NO_LIMITS, REFERENCE, Known, Limits, known_of, program_of, refuses, says
from coevolve.curriculum.programs import shape
from coevolve.curriculum.voting import vote
from coevolve.types import PROPOSER, Group, Origin, StopReason, Task, ToolCall, Trajectory

Said = tuple[str | None, str, str]  # box, program, what it printed
CANNOT = "cannot be answered"


def answer(box: str | None, *calls: ToolCall, stop: StopReason = StopReason.EOS) -> Trajectory:
    none = np.zeros(0, np.int32)
    return Trajectory(
        "t", 0, none, none, none.astype(bool), none.astype(np.float32), "", calls, box, stop, "p", (0,), "c"
    )


def group(question: str, *said: Said, own: str | None = None) -> Group:
    given = [answer(box, *([ToolCall(code, out, "ok")] if code else [])) for box, code, out in said]
    return of(question, given, own)


def of(question: str, given: Sequence[Trajectory], own: str | None = None) -> Group:
    boxes = [None if refuses(x.answer, CANNOT) else x.answer for x in given if not x.lost]
    return Group(Task("t", (question,), "chain", Origin("agent0", PROPOSER, 1), own), tuple(given), vote(boxes))


def test_a_unanimous_box_that_its_programs_do_not_print_is_contradicted() -> None:
    known = known_of(group("What is 5 less than -20?", *[("25", "print(-20 - 5)", "-25")] * 4))
    assert (known.outputs, known.supported, known.contradicted) == (4, 0, True)
    assert known.first_failed(Limits(output=True)) == "output"
    assert known.first_failed(NO_LIMITS) is None


def test_outputs_are_compared_with_the_label_as_answers_are() -> None:
    said = [("584", "print(229 + 355)", "584"), (r"584\text{ apples}", "print(f'Sum: {229 + 355}')", "Sum: 584")]
    known = known_of(
        group("What is 229 + 355?", *said, ("584", "x = 584.0\nprint(x)", "584.0"), ("9", "print(9)", "9"))
    )
    assert (known.outputs, known.supported, known.contradicted) == (3, 3, False)


def test_half_of_the_outputs_are_no_majority() -> None:
    known = known_of(group("What is 2 + 2?", ("4", "print(4)", "4"), ("4", "print(5)", "5")))
    assert known.contradicted
    assert not known.keeps(Limits(output=True))["output"]


def test_a_label_without_any_program_is_not_contradicted_but_has_no_support() -> None:
    known = known_of(group("What is 2 + 2?", ("4", "", ""), ("4", "", "")))
    assert (known.outputs, known.contradicted, known.programs, known.shape) == (0, False, 0, None)
    assert not known.keeps(Limits(output=True))["output"]


def test_a_program_that_failed_or_printed_nothing_is_not_what_an_answer_rests_on() -> None:
    works = ToolCall("print(6 * 7)", "42", "ok")
    fails = ToolCall("print(length)", "NameError: name 'length' is not defined", "error")
    silent = ToolCall("y = 6 * 7", "(nothing was printed)", "ok")
    assert program_of(answer("42", works, fails, silent)) == "print(6 * 7)"
    assert program_of(answer("42", silent, works), session=True) == "y = 6 * 7\nprint(6 * 7)"
    only_failing = of("An area?", [answer("NameError", fails), answer("NameError", silent)])
    assert known_of(only_failing).outputs == 0


def test_only_programs_of_different_shape_count_as_more_than_one() -> None:
    product = [("864", "print(36 * 24)", "864"), ("864", "a = 24\nb = 36\nprint(a * b)", "864")]
    added = ("864", "total = 0\nfor _ in range(36):\n    total += 24\nprint(total)", "864")
    question = "What is the product of 36 and 24?"
    assert known_of(group(question, *product)).programs == 1
    known = known_of(group(question, *product, added, ("60", "print(36 + 24)", "60")))
    assert (known.programs, known.shape) == (2, shape("print(1 * 2)")), "that for another answer does not count"
    assert [known.first_failed(Limits(programs=n)) for n in (2, 3)] == [None, "programs"]


def test_programs_without_the_numbers_of_a_question_answer_something_else() -> None:
    question = "Three boxes hold 12 pens each. How many pens are there?"
    known = known_of(group(question, ("36", "print(3 * 12)", "36"), ("36", "print(36)", "36")))
    assert known.numbers == 0.5
    assert [known.first_failed(Limits(numbers=share)) for share in (0.5, 0.6)] == [None, "numbers"]
    assert known_of(group(question, ("36", "", ""))).numbers == 0.0
    vague = known_of(group("How much does the ball cost?", ("1", "print(1)", "1")))
    assert vague.numbers is None
    assert vague.keeps(REFERENCE)["numbers"]


def test_solvers_may_say_that_a_question_cannot_be_answered() -> None:
    said = [(r"\text{Cannot be answered.}", "", ""), (CANNOT, "", ""), ("3", "", ""), (None, "", "")]
    asked = group("How many times larger is blue?", *said)
    assert (asked.vote.answer, asked.vote.p_hat) == ("3", 0.25)
    known = known_of(asked, refusal=CANNOT)
    assert known.refusals == 0.5
    assert [known.first_failed(Limits(refusals=share)) for share in (0.5, 0.4)] == [None, "refusals"]
    assert known_of(asked).refusals == 0.0, "the prompts have no words for it"


def test_the_writers_own_answer_is_the_majoritys_or_not() -> None:
    for own, agrees in (("8/2", True), ("5", False), (None, None)):
        known = known_of(group("2 + 2?", ("4", "", ""), ("4", "", ""), own=own))
        assert known.own_answer is agrees
        assert known.keeps(REFERENCE)["own_answer"] is bool(agrees)


def test_answers_that_the_sandbox_lost_say_nothing() -> None:
    lost = answer(None, stop=StopReason.INFRASTRUCTURE)
    given = [answer(CANNOT), answer("4", ToolCall("print(2 + 2)", "4", "ok")), lost, lost]
    assert known_of(of("2 + 2?", given), refusal=CANNOT).refusals == 0.5


@pytest.mark.parametrize(
    ("output", "said", "holds"),
    [
        ("584", "584", True),
        ("Sum: 584", "584", True),
        ("x = 52/25", "2.08", True),
        ("The remainder is 3", "3", True),
        ("[1, 2, 3]", "1, 2, 3", True),
        ("0.30000000000000004", "0.3", True),
        ("1,234", "1234", True),
        ("-25", "25", False),
        ("The remainder is 13", "3", False),
        ("7" * 201, "7" * 201, False),  # no answer
    ],
)
def test_a_printed_line_holds_an_answer(output: str, said: str, holds: bool) -> None:
    assert says(output, said) is holds


def test_a_limit_that_asks_for_nothing_is_told_by_a_reference() -> None:
    assert NO_LIMITS.asked == ()
    assert NO_LIMITS.told() == REFERENCE
    assert Limits(programs=3).told() == Limits(True, 3, 1.0, 0.0, True)
    assert REFERENCE.asked == CHECKS
    nothing = Known(0, 0, 0, None, 0.0, 1.0, None)
    assert all(nothing.keeps(NO_LIMITS).values())
    assert not any(nothing.keeps(REFERENCE).values())
