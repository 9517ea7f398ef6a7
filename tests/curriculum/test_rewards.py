"""The curriculum reward against its closed form."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.curriculum.rewards import count_tool_calls, curriculum_reward, r_memory, r_rep, r_tool, r_unc
from coevolve.curriculum.similarity import cluster_shares

SHARES = st.floats(0, 1)


@settings(deadline=None)
@given(SHARES)
def test_uncertainty_is_the_formula_of_the_paper_symmetric_and_largest_at_one_half(p_hat: float) -> None:
    assert r_unc(p_hat) == pytest.approx(1 - 2 * abs(p_hat - 0.5), abs=1e-12)
    assert r_unc(p_hat) == pytest.approx(r_unc(1 - p_hat), abs=1e-12)
    assert r_unc(p_hat) <= r_unc(0.5) == 1.0


@settings(deadline=None)
@given(SHARES, SHARES)
def test_another_peak_moves_the_maximum(p_hat: float, peak: float) -> None:
    assert 0 <= r_unc(p_hat, peak) <= 1
    assert r_unc(0.0, peak) == 0
    if 0 < peak < 1:
        assert r_unc(peak, peak) == 1
        assert r_unc(1.0, peak) == 0


def test_a_peak_at_one_rewards_agreement() -> None:
    assert [r_unc(p, 1.0) for p in (0.0, 0.25, 1.0)] == [0.0, 0.25, 1.0]


def test_tool_reward_is_capped() -> None:
    assert [r_tool(n) for n in (0, 1, 2.5, 4, 9)] == [0, 0.25, 0.625, 1.0, 1.0]
    assert r_tool(3, gamma=0.1, cap=2) == pytest.approx(0.2)


def test_the_three_ways_to_count_tool_calls() -> None:
    counts, majority = [0, 3, 1, 4], [True, True, False, False]
    assert count_tool_calls(counts, majority, "mean") == 2.0
    assert count_tool_calls(counts, majority, "majority") == 1.5
    assert count_tool_calls(counts, majority, "max") == 4.0
    assert count_tool_calls(counts, [False] * 4, "majority") == 0.0
    with pytest.raises(ValueError, match="zip"):
        count_tool_calls(counts, [True], "mean")


def test_an_identical_batch_is_penalised_by_lambda_rep() -> None:
    shares = cluster_shares(["What is the sum of one and two?"] * 5)
    assert [r_rep(share, 0.7) for share in shares] == [0.7] * 5


def test_the_composition_of_the_paper() -> None:
    parts = curriculum_reward(well_formed=True, uncertainty=0.8, tool=0.5, repetition=0.25)
    assert parts.total == pytest.approx(1.0 * 0.8 + 0.6 * 0.5 - 0.25)
    assert parts.total == pytest.approx(parts.uncertainty + parts.tool - parts.repetition)
    assert parts.novelty == 0


def test_a_penalty_never_makes_the_reward_negative() -> None:
    assert curriculum_reward(well_formed=True, uncertainty=0.1, tool=0.0, repetition=1.0).total == 0.0


def test_a_malformed_question_earns_nothing() -> None:
    parts = curriculum_reward(well_formed=False, uncertainty=1.0, tool=1.0, repetition=0.0)
    assert (parts.format, parts.total) == (0.0, 0.0)


def test_novelty_is_one_more_subtracted_term() -> None:
    with_archive = curriculum_reward(
        well_formed=True, uncertainty=1.0, tool=0.0, repetition=0.1, archive_share=0.5, lambda_novelty=0.4
    )
    assert with_archive.novelty == pytest.approx(0.2)
    assert with_archive.total == pytest.approx(0.7)


def test_nearness_to_earlier_questions_and_a_usual_program_are_subtracted() -> None:
    assert r_memory(1.0, 0.2, 0.5) == pytest.approx(0.3)
    parts = curriculum_reward(well_formed=True, uncertainty=0.8, tool=0, repetition=0.25, memory=0.1, code=0.05)
    assert parts.total == pytest.approx(0.8 - 0.25 - 0.1 - 0.05)
    assert (parts.memory, parts.code) == (0.1, 0.05)
    free = curriculum_reward(well_formed=True, uncertainty=0, tool=0, repetition=0, memory=0.3, clip_at_zero=False)
    assert free.total == -0.3
    assert (free.code, curriculum_reward(well_formed=True, uncertainty=0, tool=0, repetition=0).memory) == (None, None)
