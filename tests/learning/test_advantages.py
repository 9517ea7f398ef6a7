"""Advantages and ADPO's two curves against their closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.learning.advantages import adpo_clip_high, adpo_scale, group_relative, keyed, role_conditioned

REWARDS = st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0]), min_size=2, max_size=16)


def test_group_relative_divides_by_the_sample_standard_deviation() -> None:
    # three right of four: mean 3/4, sample variance (3 * (1/4)^2 + (3/4)^2) / 3 = 1/4
    expected = np.array([0.25, 0.25, 0.25, -0.75]) / (0.5 + 1e-6)
    np.testing.assert_allclose(group_relative([1, 1, 1, 0]), expected, rtol=1e-15)


@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, 1 / 3])
@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_a_group_without_variance_has_exactly_zero_advantage(reward: float, size: int) -> None:
    assert group_relative([reward] * size).tolist() == [0.0] * size
    assert keyed([reward] * size, [0] * size, baseline="leave_one_out").tolist() == [0.0] * size


def test_no_rewards_give_no_advantages() -> None:
    assert group_relative([]).shape == (0,)


@settings(deadline=None)
@given(REWARDS)
def test_leave_one_out_is_the_reward_minus_the_mean_of_the_others(rewards: list[float]) -> None:
    expected = [r - (sum(rewards) - r) / (len(rewards) - 1) for r in rewards]
    np.testing.assert_allclose(
        keyed(rewards, [0] * len(rewards), baseline="leave_one_out", scale="none"), expected, atol=1e-12
    )


def test_scaled_leave_one_out_divides_by_the_batch_deviation() -> None:
    rewards = [1.0, 0.0, 0.0, 0.5]
    expected = keyed(rewards, [0] * 4, baseline="leave_one_out", scale="none") / (np.std(rewards, ddof=1) + 1e-6)
    np.testing.assert_allclose(keyed(rewards, [0] * 4, baseline="leave_one_out"), expected, rtol=1e-15)


@settings(deadline=None)
@given(REWARDS, REWARDS)
def test_keys_do_not_move_each_other(first: list[float], second: list[float]) -> None:
    interleaved = [(value, "a") for value in first] + [(value, ("b", 1)) for value in second]
    order = np.random.default_rng(0).permutation(len(interleaved))
    shuffled = [interleaved[i] for i in order]
    advantages = np.empty(len(shuffled))
    advantages[order] = keyed([value for value, _ in shuffled], [key for _, key in shuffled])
    np.testing.assert_allclose(advantages[: len(first)], group_relative(first), atol=1e-12)
    np.testing.assert_allclose(advantages[len(first) :], group_relative(second), atol=1e-12)


@settings(deadline=None)
@given(REWARDS)
def test_advantages_of_a_key_sum_to_zero(rewards: list[float]) -> None:
    assert math.isclose(float(group_relative(rewards).sum()), 0.0, abs_tol=1e-9)


def test_mismatched_and_infinite_rewards_are_refused() -> None:
    with pytest.raises(ValueError, match="3 keys"):
        keyed([1.0, 2.0], ["a", "a", "b"])
    with pytest.raises(ValueError, match="reward 1 "):
        group_relative([1.0, math.nan])


def test_adpo_scale_at_its_corners() -> None:
    np.testing.assert_allclose(adpo_scale([0.0, 0.3, 0.55, 0.8, 1.0]), [0.6, 0.6, 0.8, 1.0, 1.0], rtol=1e-15)


def test_adpo_clip_is_widest_for_ambiguous_tasks() -> None:
    np.testing.assert_allclose(adpo_clip_high([0.0, 0.3, 0.55, 0.8, 1.0]), [0.3, 0.3, 0.25, 0.2, 0.2], rtol=1e-15)
    curve = adpo_clip_high(np.linspace(0, 1, 101))
    assert (np.diff(curve) <= 1e-15).all()


def test_floor_one_and_no_extra_are_the_constants_of_grpo_exactly() -> None:
    p_hat = np.linspace(0, 1, 101)
    assert (adpo_scale(p_hat, floor=1.0) == 1.0).all()
    assert (adpo_clip_high(p_hat, extra=0.0) == 0.2).all()


def test_a_role_baseline_is_that_from_before_the_game() -> None:
    """By hand, alpha = 0.95: b = 0, then 0.05, then 0.95 * 0.05 - 0.05 = -0.0025."""
    advantages, after = role_conditioned([1.0, -1.0, 1.0], ["kuhn/0"] * 3, {})
    np.testing.assert_allclose(advantages, [1.0, -1.05, 1.0025], rtol=1e-12)
    assert after["kuhn/0"] == pytest.approx(0.95 * -0.0025 + 0.05)


def test_role_baselines_do_not_move_each_other_and_are_not_changed_in_place() -> None:
    before = {"kuhn/0": 0.5, "nim/1": 0.25}
    advantages, after = role_conditioned([1.0, -1.0], ["kuhn/0", "kuhn/1"], before)
    assert advantages.tolist() == [0.5, -1.0]
    assert after == pytest.approx({"kuhn/0": 0.525, "kuhn/1": -0.05, "nim/1": 0.25})
    assert before == {"kuhn/0": 0.5, "nim/1": 0.25}


def test_role_baselines_of_two_batches_are_those_of_one() -> None:
    rng = np.random.default_rng(0)
    rewards, keys = rng.choice([-1.0, 0.0, 1.0], 200), [f"game/{i % 2}" for i in range(200)]
    whole, at_end = role_conditioned(rewards, keys, {})
    first, between = role_conditioned(rewards[:77], keys[:77], {})
    second, after = role_conditioned(rewards[77:], keys[77:], between)
    assert whole.tolist() == [*first.tolist(), *second.tolist()]
    assert after == at_end


def test_a_seat_that_wins_by_its_place_has_no_advantage_in_the_long_run() -> None:
    """The first seat wins 3 of 4 games: its mean advantage goes to 0, where one baseline for both seats leaves 1/2."""
    rng = np.random.default_rng(1)
    first = np.where(rng.random(4000) < 0.75, 1.0, -1.0)
    rewards = np.stack([first, -first], axis=1).ravel()
    by_seat, _ = role_conditioned(rewards, ["g/0", "g/1"] * 4000, {})
    together, _ = role_conditioned(rewards, ["g"] * 8000, {})
    assert abs(by_seat[2000::2].mean()) < 0.05
    assert abs(by_seat[2001::2].mean()) < 0.05
    assert together[2000::2].mean() > 0.4


@pytest.mark.parametrize("rewards", [[1.0], [1.0, float("nan")]])
def test_role_baselines_refuse_what_is_no_reward(rewards: list[float]) -> None:
    with pytest.raises(ValueError, match="reward"):
        role_conditioned(rewards, ["a", "b"], {})
