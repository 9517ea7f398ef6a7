"""What is said of a model, case by case: pure functions of counts and settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coevolve.methods.counting import AnswerCounts, TextCounts
from coevolve.methods.obstacles import Counts, Obstacle, obstacles, unanswered, unasked, unkept, unrun
from coevolve.methods.setup import Setup

TEXTS = TextCounts(texts=24, tagged=24, well_formed=23, different=23, boxed=20, end_tokens=5, tokens=600, entropy=1.0)
ANSWERS = AnswerCounts(
    answers=40, opened=40, closed=40, ran=38, calls=39, calls_ok=37, boxed=38, answered=38, end_tokens=38, tokens=2000,
    entropy=0.6,
)  # fmt: skip
GOOD = Counts(TEXTS, ANSWERS, 4, own=(0.25, 0.5, 1.0), plain=(0.75,))
EXAMPLES = "arithmetic, grade-school or school, which show worked examples"


def texts(**changed: Any) -> Counts:
    return replace(GOOD, texts=replace(TEXTS, **changed))


def answers(**changed: Any) -> Counts:
    return replace(GOOD, answers=replace(ANSWERS, **changed))


def none_ran(**changed: Any) -> Counts:
    return answers(**{"ran": 0, "calls": 0, "calls_ok": 0} | changed)


# code, counts, settings, whether nothing can be learned, words of the sentence, words of what would change it
Case = tuple[str, Counts, Setup, bool, str, str]
CASES: list[Case] = [
    ("noise", texts(entropy=3.7), Setup(), False, "3.7 nats a token of the proposer", "sampling.temperature=0.6"),
    (
        "noise",
        answers(entropy=3.1),
        Setup(solver_heat=("sampling.solver.temperature", 1.5)),
        False,
        "3.1 nats a token of the solver",
        "sampling.solver.temperature=0.9 (now 1.5)",
    ),
    ("no tag", texts(tagged=0, well_formed=0), Setup(), True, "none of 24 texts hold the tag", f"{EXAMPLES} and open"),
    ("no tag", texts(tagged=1, well_formed=1), Setup(), False, "1 of 24 texts hold the tag", EXAMPLES),
    ("no tag", texts(tagged=0, well_formed=0), Setup(led=True), True, "none of 24", "model.prompts=FILE"),
    ("no tag", texts(tagged=0, well_formed=0), Setup(prompts=""), True, "none of 24", "model.path=MODEL"),
    ("empty", texts(empty=24, tagged=0, well_formed=0), Setup(), True, "all 24 texts end at once", "form: text"),
    (
        "questions cut off",
        texts(cut_off=20, well_formed=4),
        Setup(question_tokens=48),
        False,
        "20 of 24 texts are cut off after 48 tokens",
        "sampling.question_tokens=96",
    ),
    (
        "no own answer",
        texts(boxed=0, well_formed=0),
        Setup(own_answer=True),
        True,
        "none of 24 texts hold the writer's own answer",
        "proposer.own_answer=false",
    ),
    ("malformed", texts(well_formed=0), Setup(), True, "no question in words", EXAMPLES),
    ("same questions", texts(different=1), Setup(), True, "all 23 well-formed questions are the same", "topics"),
    ("same questions", texts(different=4), Setup(), False, "only 4 of 23", "sampling.temperature above 1.0"),
    (
        "answers cut off",
        answers(answered=0, boxed=0, cut_off=40),
        Setup(max_tokens=72),
        True,
        "all 40 answers are cut off after 72 tokens",
        "sampling.max_tokens=144",
    ),
    (
        "answers cut off",
        answers(answered=3, boxed=39, cut_off=37),
        Setup(),
        False,
        "39 of them behind a box",
        "sampling.max_tokens=400",
    ),
    ("no box", answers(answered=0, boxed=0), Setup(), True, "none of 40 answers hold a box", EXAMPLES),
    ("forged output", answers(answered=2, forged=38), Setup(), False, "write the output of a program", "call_at=fence"),
    ("too many calls", answers(answered=0, too_many_calls=40), Setup(max_turns=2), True, "more than 2", "max_turns=4"),
    ("errors as answers", answers(echoes=5), Setup(), False, "5 of 38 boxes repeat", "grading.refuse_errors=true"),
    ("question as answer", answers(unevaluated=9), Setup(), False, "9 of 38 boxes", "grading.refuse_unevaluated=true"),
    ("no programs", none_ran(opened=0, closed=0), Setup(), True, "none of 40 answers begin one", EXAMPLES),
    ("no programs", none_ran(opened=0, closed=0), Setup(paid=False), False, "a program ran in none", EXAMPLES),
    ("unrun programs", none_ran(unrun=40), Setup(), True, "40 programs were closed and never ran", "call_at=fence"),
    ("fence not closed", none_ran(closed=0), Setup(), True, "all 40 answers begin one, 0 close", EXAMPLES),
    ("programs fail", answers(calls_ok=0), Setup(), False, "all 39 programs that ran failed", EXAMPLES),
    ("nothing printed", answers(silent=30), Setup(), False, "30 of 39 programs printed nothing", "tool.echo=last"),
    ("nothing printed", answers(silent=30), Setup(echo=True), False, "30 of 39", "and print"),
    ("all agree", replace(GOOD, own=(1, 1, 1), plain=(1,)), Setup(), False, "all 4 answers to each of 4", "levels"),
    ("none agree", replace(GOOD, own=(0.25,) * 3, plain=()), Setup(), False, "no two of 4 answers", "below 1.0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "counts", "setup", "fatal", "seen", "change"),
    CASES,
    ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)],
)
def test_what_was_counted_is_said_with_the_key_that_changes_it(
    code: str, counts: Counts, setup: Setup, fatal: bool, seen: str, change: str
) -> None:
    (found,) = obstacles(counts, setup)
    assert (found.code, found.fatal) == (code, fatal)
    assert seen in found.text
    assert change in found.change


def test_a_model_that_works_meets_no_obstacle() -> None:
    assert obstacles(GOOD, Setup()) == []


def test_without_the_tool_nothing_is_said_of_programs() -> None:
    assert obstacles(none_ran(opened=0, closed=0), Setup(tool=False, paid=False)) == []


def test_boxes_that_grading_refuses_already_are_not_told_again() -> None:
    refusing = Setup(refuses_errors=True, refuses_unevaluated=True)
    assert obstacles(answers(echoes=30, unevaluated=30), refusing) == []


def test_what_leaves_nothing_to_learn_comes_first_and_noise_before_what_it_explains() -> None:
    hot = replace(GOOD, texts=replace(TEXTS, tagged=0, well_formed=0, entropy=3.7), own=())
    said = obstacles(replace(hot, answers=replace(ANSWERS, echoes=20)), Setup())
    assert [(x.code, x.fatal) for x in said] == [("noise", True), ("no tag", True), ("errors as answers", False)]


def test_a_model_that_never_writes_its_end_is_told_so() -> None:
    endless = Counts(replace(TEXTS, end_tokens=0, cut_off=12), replace(ANSWERS, end_tokens=0, cut_off=20), 4, (), ())
    (found,) = [x for x in obstacles(endless, Setup()) if x.code == "no end"]
    assert "none of 64 texts ends with an end token" in found.text
    assert "form: text" in found.change


def test_what_steps_and_pools_say_names_where_it_was_seen() -> None:
    row = {"size": 64, "reasons": {"below": 40, "above": 3, "malformed": 21}}
    said = [unasked("the first pool", 64), unanswered("the first step"), unrun("the first step"), unkept(row, 0.3, 0.8)]
    assert all(x.fatal for x in said)
    assert said[0].text == "in the first pool none of 64 texts is a well-formed question"
    assert "reward.lambda_tool=0" in said[2].change
    assert said[3].text.endswith("none of 64 texts; most often: the votes are too divided (p_hat below gate.lower)")
    assert "gate.lower (now 0.3)" in said[3].change


def test_an_obstacle_is_written_down_and_read_again() -> None:
    (found,) = obstacles(none_ran(unrun=40), Setup())
    assert Obstacle(**found.row()) == found  # type: ignore[arg-type]
