"""Which answers vote on a question."""

from __future__ import annotations

from collections.abc import Callable

from coevolve.curriculum.voting import vote
from coevolve.methods.questions import answers_of
from coevolve.types import StopReason, Trajectory

Make = Callable[..., Trajectory]


def test_an_answer_that_the_sandbox_lost_is_not_in_the_vote_and_a_missing_one_is(
    trajectory: Make,
) -> None:
    lost = trajectory(stop=StopReason.INFRASTRUCTURE)
    given = [trajectory(answer="1"), trajectory(answer="1"), trajectory(stop=StopReason.LENGTH), lost]
    result = vote(answers_of(given))
    assert (result.answer, result.p_hat, result.k, result.valid) == ("1", 2 / 3, 3, 2)


def test_a_question_whose_answers_are_all_lost_has_no_majority(trajectory: Make) -> None:
    result = vote(answers_of([trajectory(stop=StopReason.INFRASTRUCTURE)] * 2))
    assert (result.answer, result.p_hat) == (None, 0.0)


def test_missing_answers_can_be_left_out_of_the_vote(trajectory: Make) -> None:
    given = [trajectory(answer="1"), trajectory(answer="1"), trajectory(answer="2"), trajectory()]
    assert vote(answers_of(given)).p_hat == 2 / 4
    assert vote(answers_of(given, count_missing=False)).p_hat == 2 / 3
    assert vote(answers_of([trajectory()] * 2, count_missing=False)).p_hat == 0.0
