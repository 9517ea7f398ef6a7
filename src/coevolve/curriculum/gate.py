"""Which tasks enter training: those at the frontier of the solver's ability; and how likely an open vote is to pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from coevolve.curriculum.checks import CHECKS, Check
from coevolve.types import Group

Reason = Literal["kept", "no_answer", "below", "above", "narrow", "unverified", Check, "refused", "tied"]
_REASONS: tuple[Reason, ...] = (
    "kept",
    "no_answer",
    "below",
    "above",
    "narrow",
    "unverified",
    *CHECKS,
    "refused",
    "tied",
)

_SLACK = 1e-9  # p_hat is a count divided by k: 3 of 10 must pass a bound of 0.3 however it was rounded


@dataclass(frozen=True, slots=True)
class Gate:
    """The groups that passed, in order, and why each of the others did not."""

    kept: tuple[Group, ...]
    reasons: Mapping[Reason, int]  # every reason that there can be is present, also with 0
    fates: tuple[Reason, ...]  # of all groups, in their order


def gate(
    groups: Sequence[Group],
    lower: float = 0.3,
    upper: float = 0.8,
    *,
    enabled: bool = True,
    margin: float = 0.0,
    verified: Callable[[Group], bool] | None = None,
    failed: Callable[[Group], Check | None] | None = None,
    rule: Callable[[Group], bool] | None = None,
    ties: bool = True,
) -> Gate:
    """Keep the groups with lower <= p_hat <= upper.

    A task without any answer has no label to learn from and is never kept, also when the gate is disabled.

    Args:
        margin: lead of the majority over the runner-up, as a share of k; not in the paper.
        verified: called for a group that would be kept: is its label supported by more than votes? Not in the paper.
        failed: called for a group that would be kept: the check that it fails, which is its reason. Not in the paper.
        rule: called last, for a group that would be kept; its reason is "refused". Not in the paper.
        ties: keep a group whose largest class is no larger than another. Neither paper nor code say otherwise; without
            them the reason is "tied".

    Source: Agent0 (arXiv 2511.16043), appendix A.1: p_hat between 0.3 and 0.8.
    """
    fates = tuple(_reason(group, lower, upper, enabled, margin, verified, failed, rule, ties) for group in groups)
    counts = Counter(fates)
    kept = tuple(group for group, reason in zip(groups, fates, strict=True) if reason == "kept")
    possible = {"refused": rule is not None, "tied": not ties} | dict.fromkeys(CHECKS, failed is not None)
    return Gate(kept, {name: counts[name] for name in _REASONS if possible.get(name, True)}, fates)


def _reason(
    group: Group,
    lower: float,
    upper: float,
    enabled: bool,
    margin: float,
    verified: Callable[[Group], bool] | None,
    failed: Callable[[Group], Check | None] | None,
    rule: Callable[[Group], bool] | None,
    ties: bool,
) -> Reason:
    vote = group.vote
    if vote.answer is None:
        return "no_answer"
    if enabled and vote.p_hat < lower - _SLACK:
        return "below"
    if enabled and vote.p_hat > upper + _SLACK:
        return "above"
    if vote.tied and not ties:
        return "tied"
    sizes = [votes for _, votes in vote.counts] + [0]
    if sizes[0] - sizes[1] < margin * vote.k - _SLACK:
        return "narrow"
    if verified is not None and not verified(group):
        return "unverified"
    if failed is not None and (check := failed(group)):
        return check
    return "kept" if rule is None or rule(group) else "refused"


def chance_inside(majority: int, asked: int, k: int, lower: float, upper: float) -> float:
    """Probability that lower <= p_hat <= upper once all k answers have arrived.

    With a uniform prior on the share of the majority, the majority's votes among the remaining answers are
    beta-binomial given those so far. The case that another answer becomes the majority is neglected: it happens where
    votes are scattered, far below the gate or inside it.

    Args:
        majority: votes of the largest class, of ``asked`` answers.
        asked: answers so far, in 0 ... k.
        k: answers of a whole vote.
        lower, upper: bounds of the gate, inclusive.
    """
    left = k - asked
    first = max(0, -int(-(lower * k - _SLACK) // 1) - majority)  # further majority votes that are needed
    last = min(left, int((upper * k + _SLACK) // 1) - majority)  # and that are allowed
    from scipy.stats import betabinom  # takes a second to load, and only pools that stop early ask

    hits = np.arange(first, last + 1)
    return float(betabinom.pmf(hits, left, 1 + majority, 1 + asked - majority).sum())
