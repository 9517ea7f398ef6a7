"""The vote: order, missing answers, ties."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.curriculum.voting import agrees, pool_votes, vote, vote_entropy

ANSWERS = st.lists(
    st.sampled_from([None, "", "1", "1.0", "2", "2/1", r"\frac{1}{2}", "0.5", "yes", "Yes", "listen", "silent"]),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(ANSWERS.flatmap(lambda answers: st.tuples(st.just(answers), st.permutations(answers))))
def test_the_vote_does_not_depend_on_the_order(pair: tuple[list[str | None], list[str | None]]) -> None:
    assert vote(pair[0]) == vote(pair[1])


def test_missing_answers_stay_in_the_denominator_and_are_never_a_class() -> None:
    result = vote([None, None, None, None, None, "7", "7.0", " ", "", "8"])
    assert (result.answer, result.p_hat, result.k, result.valid) == ("7", 0.2, 10, 3)
    assert result.counts == (("7", 2), ("8", 1))
    assert not result.tied


def test_nobody_answered() -> None:
    result = vote([None, "", None])
    assert (result.answer, result.p_hat, result.valid, result.counts, result.tied) == (
        None,
        0.0,
        0,
        (),
        False,
    )


def test_a_tie_goes_to_the_first_key_and_is_recorded() -> None:
    result = vote(["b", "a", None, "b", "a"])
    assert (result.answer, result.p_hat, result.tied) == ("a", 0.4, True)


def test_forms_of_one_answer_vote_together() -> None:
    result = vote(["0.5", r"\dfrac{1}{2}", "1/2", "2"])
    assert (result.answer, result.p_hat) == ("1/2", 0.75)
    assert agrees("50%", result)
    assert not agrees("2", result)
    assert not agrees(None, result)
    assert not agrees("", vote([None]))


@settings(deadline=None)
@given(ANSWERS, ANSWERS)
def test_pooled_votes_are_one_vote_over_all_answers(first: list[str | None], second: list[str | None]) -> None:
    assert pool_votes([first, second]) == vote(first + second) == pool_votes([second, first])


def test_a_vote_without_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        vote([])


def test_equally_many_votes_go_to_the_first_key_and_are_recorded_across_forms() -> None:
    result = vote(["1/2", "0.5", "2", "2.0"])
    assert (result.answer, result.tied, result.p_hat) == ("1/2", True, 0.5)
    assert result.forms == (("1/2",), ("2",))


def test_spelling_an_answer_otherwise_changes_no_vote() -> None:
    spellings = [
        ["1234", "1,234", "$1234$", "1234.0"],
        [r"\frac{1}{3}", "1/3", r"\dfrac13", "2/6"],
        ["Monday", r"\text{Monday}", "monday."],
        ["x^2+1", "x^{2} + 1", "$x^2+1$"],
    ]
    rng = random.Random(0)
    chosen = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3]
    expected = vote([spellings[i][0] for i in chosen])
    for _ in range(100):
        rng.shuffle(chosen)
        assert vote([rng.choice(spellings[i]) for i in chosen]) == expected


def test_an_answer_that_has_not_voted_is_compared_with_the_majority() -> None:
    result = vote(["1/2", "1/2", "3"])
    assert agrees("0.5", result)
    assert not agrees("3", result)
    assert not agrees("4", result)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["1"] * 7, 0.0),
        (["1", "1", "2", "2"], math.log(2)),
        (["1", "2", "3", "4"], math.log(4)),
        ([None] * 5, math.log(5)),
        (["1", "1", None, None], 0.5 * math.log(2) + 0.5 * math.log(4)),
        (["7"], 0.0),
        ([None], 0.0),
    ],
)
def test_the_entropy_of_a_vote_lies_between_one_mind_and_k(answers: list[str | None], expected: float) -> None:
    assert vote_entropy(vote(answers)) == pytest.approx(expected, abs=1e-12)
