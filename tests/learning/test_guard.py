"""Which updates are left out: the numbers are chosen so that every verdict is known beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from coevolve.learning.guard import MIN_HISTORY, UpdateGuard, largest_finite, unusable, warmup_lr
from coevolve.types import Batch, TrainRow


def fed(norms: Sequence[float], explosion: float = 10.0) -> UpdateGuard:
    guard = UpdateGuard(explosion, max_skipped=3)
    for norm in norms:
        guard.made(norm)
    return guard


def test_the_limit_is_a_multiple_of_the_median_of_what_was_made() -> None:
    assert fed([1.0, 2.0, 3.0, 100.0]).limit == pytest.approx(25.0)
    assert fed([4.0, 1.0, 2.0, 3.0, 9.0]).limit == pytest.approx(30.0)


def test_a_phase_that_has_just_begun_has_no_limit() -> None:
    assert fed([1.0] * (MIN_HISTORY - 1)).limit == math.inf
    assert fed([1.0] * MIN_HISTORY).limit == 10.0


def test_updates_without_a_gradient_do_not_lower_the_limit() -> None:
    assert fed([0.0] * 50 + [1.0] * MIN_HISTORY).limit == 10.0
    assert fed([0.0] * 50).limit == math.inf


def test_zero_switches_the_limit_off() -> None:
    guard = fed([1.0] * 9, explosion=0.0)
    assert guard.limit == math.inf
    assert guard.fault(0.5, 1e30) == ""
    assert guard.fault(0.5, math.inf)


@pytest.mark.parametrize(
    ("loss", "norm", "word"),
    [
        (0.5, 10.0, ""),
        (0.5, 10.1, "more than 10 times the median 1"),
        (0.5, math.nan, "gradient is not finite"),
        (0.5, math.inf, "gradient is not finite"),
        (math.nan, 1.0, "loss is not a finite number"),
        (-math.inf, 1.0, "loss is not a finite number"),
    ],
)
def test_a_fault_is_named(loss: float, norm: float, word: str) -> None:
    fault = fed([1.0] * 8).fault(loss, norm)
    assert bool(fault) == bool(word)
    assert word in fault


def test_it_gives_up_after_so_many_in_a_row_and_not_in_all() -> None:
    guard = fed([1.0])
    for _ in range(10):
        guard.skipped()
        guard.skipped()
        assert not guard.given_up
        guard.made(1.0)
    for _ in range(3):
        guard.skipped()
    assert guard.given_up


def test_a_guard_made_from_the_state_of_another_goes_on_like_it() -> None:
    old = fed([0.3, 0.1, 0.7, 0.4, 0.2])
    old.skipped()
    new = UpdateGuard(10.0, 3, norms=list(old.norms), skipped_in_row=old.skipped_in_row)
    assert new == old
    assert new.limit == old.limit


def row(**changed: float) -> TrainRow:
    """Four tokens, two of them trained; the changed stream holds its value at the last, which is trained."""
    names = ("old_logp", "advantage", "clip_low", "clip_high", "weight", "sampler_logp")
    streams = {name: np.ones(4, np.float32) for name in names}
    streams["weight"][:2] = 0
    for name in ("old_logp", "advantage", "clip_low", "clip_high"):
        streams[name][0] = np.nan  # of a token without weight: means nothing
    for name, value in changed.items():
        streams[name][3] = value
    return TrainRow(tokens=np.arange(4, dtype=np.int32), **streams)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("stream", "word"),
    [
        ("old_logp", "an old log-probability"),
        ("advantage", "an advantage"),
        ("weight", "a weight"),
        ("clip_low", "a clip bound"),
        ("clip_high", "a clip bound"),
    ],
)
def test_one_number_that_is_none_makes_a_batch_unusable(stream: str, value: float, word: str) -> None:
    assert unusable(Batch((row(), row()))) == ""
    assert word in unusable(Batch((row(), row(**{stream: value}))))


def test_an_empty_batch_is_usable() -> None:
    assert unusable(Batch(())) == ""


def test_the_largest_number_is_found_among_others() -> None:
    assert largest_finite([math.nan, 2.0, math.inf, 1.0]) == 2.0
    assert largest_finite([math.nan]) is None
    assert largest_finite([]) is None


def test_warm_up_is_linear_and_then_constant() -> None:
    assert [warmup_lr(step, 1.0, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert warmup_lr(0, 1.0, 0) == 1.0
