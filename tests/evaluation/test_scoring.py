"""Grading against hand-counted answers."""

from __future__ import annotations

import pytest

from coevolve.errors import ConfigError
from coevolve.evaluation.scoring import is_right, majority, score, solves
from coevolve.grading.equivalence import OWN_RULES
from coevolve.grading.grade import Item, Kind, Mode
from coevolve.grading.graders import grader
from coevolve.worlds.base import Problem


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("42", "42", True),
        ("42.0", "42", True),
        ("$1{,}000$", "1000", True),
        ("41", "42", False),
        (None, "42", False),
        ("42", None, False),
        (None, None, False),
        ("", "", False),
    ],
)
def test_right_means_the_same_canonical_key_and_never_a_missing_one(answer, truth, right) -> None:
    assert is_right(answer, truth) is right


def test_scores_of_hand_made_answers(task, trajectory) -> None:
    first, second, third = task("1+1"), task("2+2"), task("3+3")
    groups = [
        [trajectory(first, 0, "2", 1), trajectory(first, 1, "2.0", 0), trajectory(first, 2, "3", 2)],
        [trajectory(second, 0, "5"), trajectory(second, 1, "5"), trajectory(second, 2, "4")],
        [trajectory(third, 0, None, 3), trajectory(third, 1, None), trajectory(third, 2, None)],
    ]
    scores = score([Problem(first, "2"), Problem(second, "4"), Problem(third, "6")], groups)
    assert scores.right.tolist() == [[True, True, False], [False, False, True], [False] * 3]
    assert scores.rates.tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert scores.majority == ("2", "5", None)
    assert scores.majority_right.tolist() == [True, False, False]
    assert scores.tool_calls.tolist() == [1.0, 0.0, 1.0]


def test_scores_of_no_problems_are_empty() -> None:
    scores = score([], [])
    assert scores.rates.shape == scores.tool_calls.shape == scores.majority_right.shape == (0,)


def test_groups_and_truths_must_pair_up(task, trajectory) -> None:
    groups = [[trajectory(task("1+1"), 0, "2")]]
    with pytest.raises(ValueError, match="zip"):
        score([Problem(task("1+1"), "2"), Problem(task("2+2"), "4")], groups)


def test_groups_of_unequal_size_are_refused(task, trajectory) -> None:
    one = task("1+1")
    with pytest.raises(ValueError, match="shape"):
        score([Problem(one, "2")] * 2, [[trajectory(one, 0, "2")], [trajectory(one, 0, "2"), trajectory(one, 1, "2")]])


OPTIONS = ("red", "a shade of blue", "7", "14/2")


@pytest.mark.parametrize(
    ("kind", "answer", "truth", "right"),
    [
        (Kind.CHOICE, "B", "B", True),
        (Kind.CHOICE, "(b)", "B", True),
        (Kind.CHOICE, "a shade of blue", "B", True),
        (Kind.CHOICE, "A", "B", False),
        (Kind.CHOICE, "7", "C", True),
        (Kind.CHOICE, "something else", "B", False),
        (Kind.FUZZY, "The Cat.", "the cat", True),
        (Kind.FUZZY, "1.50", "1.5", True),
        (Kind.FUZZY, "dog", "the cat", False),
        (Kind.FUZZY, ".", "the cat", False),
        (Kind.EXACT, "a  b", "a b", True),
        (Kind.EXACT, "A b", "a b", False),
        (Kind.MATH, "1/2", "0.5", True),
    ],
)
def test_answers_are_compared_by_the_strict_rules_for_their_kind(task, kind, answer, truth, right) -> None:
    options = OPTIONS if kind is Kind.CHOICE else ()
    problem = Problem(task("1+1"), truth, kind, options)
    assert solves(answer, problem) is right
    strict = grader(kind.value, Mode.STRICT.value, OWN_RULES)
    assert strict(f"so it is \\boxed{{{answer}}}", Item(truth, options)).right is right


def test_a_choice_whose_true_answer_is_no_option_is_an_error_that_names_the_problem(task) -> None:
    with pytest.raises(ConfigError, match="letter") as caught:
        solves("A", Problem(task("1+1"), "E", Kind.CHOICE, OPTIONS))
    assert caught.value.where == task("1+1").id


def test_where_a_source_scores_itself_its_word_counts(task) -> None:
    even = Problem(task("1+1"), "2", scorer=lambda answer: answer.isdigit() and int(answer) % 2 == 0)
    assert solves("4", even)
    assert not solves("3", even)
    assert not solves(None, even)
    assert majority(["3", "4.0", "4", None], even) == ("4", False)  # whose first spelling the scorer refuses
    assert majority(["3", "4", "4.0", None], even) == ("4", True)


def test_the_majority_of_a_choice_is_a_letter_however_it_was_spelled(task) -> None:
    problem = Problem(task("1+1"), "B", Kind.CHOICE, OPTIONS)
    assert majority(["A", "(b)", "a shade of blue", "A", "B.", "no such thing", None], problem) == ("B", True)
    assert majority(["C", "A"], problem) == ("A", False)
    assert majority(["no such thing", None], problem) == (None, False)


def test_the_majority_of_short_texts_is_counted_as_they_are_compared(task) -> None:
    problem = Problem(task("1+1"), "Paris", Kind.FUZZY)
    assert majority(["paris", "Paris.", "Rome"], problem) == ("paris", True)
