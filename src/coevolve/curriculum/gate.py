"""Which tasks enter training: those at the frontier of what the executor can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from coevolve.types import Group, Vote

Reason = Literal["kept", "no_answer", "below", "above"]

_SLACK = 1e-9  # p_hat is a count divided by k: 3 of 10 must pass a bound of 0.3 however it was rounded


@dataclass(frozen=True, slots=True)
class Gate:
    """The groups that passed, in their order, and how many of all groups met which fate."""

    kept: tuple[Group, ...]
    reasons: Mapping[Reason, int]  # every reason is present, also with 0


def gate(groups: Sequence[Group], lower: float = 0.3, upper: float = 0.8, *, enabled: bool = True) -> Gate:
    """Keep the groups with lower <= p_hat <= upper.

    A task without any answer has no label to learn from and is never kept, also when the gate is disabled.

    Source: Agent0 (arXiv 2511.16043), appendix A.1: p_hat between 0.3 and 0.8.
    """
    reasons = [_reason(group.vote, lower, upper, enabled) for group in groups]
    counts = Counter(reasons)
    names: tuple[Reason, ...] = ("kept", "no_answer", "below", "above")
    kept = tuple(group for group, reason in zip(groups, reasons, strict=True) if reason == "kept")
    return Gate(kept, {name: counts[name] for name in names})


def _reason(vote: Vote, lower: float, upper: float, enabled: bool) -> Reason:
    if vote.answer is None:
        return "no_answer"
    if enabled and vote.p_hat < lower - _SLACK:
        return "below"
    if enabled and vote.p_hat > upper + _SLACK:
        return "above"
    return "kept"
