"""How long the rest takes, against sums made by hand."""

import pytest

from coevolve.monitor.forecast import phase_seconds, seconds_left

SHARES = {"curriculum": 3.0, "executor": 2.0}
STEPS = {(0, "evaluate"): 2, (1, "curriculum"): 10, (1, "executor"): 5, (1, "evaluate"): 2}


def test_every_phase_takes_its_steps_times_their_seconds() -> None:
    seconds = phase_seconds(STEPS, {"evaluate": 3.0, "curriculum": 0.5, "executor": 2.0}, SHARES)
    assert list(seconds.values()) == [6.0, 5.0, 10.0, 6.0]


def test_a_kind_that_was_never_timed_gets_its_typical_share_of_what_was() -> None:
    seconds = phase_seconds(STEPS, {"evaluate": 3.0}, SHARES)  # 6 s is one share
    assert seconds[1, "curriculum"] == pytest.approx(18)
    assert seconds[1, "executor"] == pytest.approx(12)


def test_what_is_left_is_the_rest_of_this_phase_and_the_later_ones() -> None:
    per_step = {"evaluate": 3.0, "curriculum": 0.5, "executor": 2.0}
    assert seconds_left(STEPS, per_step, SHARES, (1, "executor"), 2) == pytest.approx(3 * 2 + 6)
    assert seconds_left(STEPS, per_step, SHARES, (1, "evaluate"), 2) == 0


def test_more_steps_than_were_announced_leave_nothing_of_the_phase() -> None:
    assert seconds_left(STEPS, {"evaluate": 3.0}, SHARES, (1, "evaluate"), 5) == 0


def test_nothing_is_known_before_a_step_was_timed() -> None:
    assert seconds_left(STEPS, {}, SHARES, (0, "evaluate"), 0) is None
