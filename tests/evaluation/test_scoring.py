"""Grading against hand-counted answers."""

from __future__ import annotations

import pytest

from coevolve.evaluation.scoring import is_right, score


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
    scores = score(["2", "4", "6"], groups)
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
        score(["2", "4"], groups)


def test_groups_of_unequal_size_are_refused(task, trajectory) -> None:
    one = task("1+1")
    with pytest.raises(ValueError, match="shape"):
        score(["2", "2"], [[trajectory(one, 0, "2")], [trajectory(one, 0, "2"), trajectory(one, 1, "2")]])
