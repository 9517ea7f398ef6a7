"""The checks of a question as methods use them, and how many questions of a pool pass each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coevolve.curriculum.checks import CHECKS, Known, Limits, known_of
from coevolve.curriculum.gate import Reason
from coevolve.methods.config import CoevolutionState as State
from coevolve.methods.questions import refusal_of
from coevolve.types import Group

Passed = Mapping[str, Sequence[bool | None]]  # by check: of all groups of a pool; None where it was not the question


def what_is_known(state: State, groups: Sequence[Group]) -> list[Known]:
    """What is known of each group without a true answer."""
    refusal, session = refusal_of(state.world), state.config.tool.state == "session"
    return [known_of(group, judge=state.judge, refusal=refusal, session=session) for group in groups]


def passed_checks(known: Sequence[Known], fates: Sequence[Reason], limits: Limits) -> Passed:
    """Which tasks pass each check, of those that fail nothing else at the gate.

    Args:
        known: of all groups.
        fates: of the groups, by a gate with these limits.
        limits: what is not asked for is held against what is told all the same.
    """
    told = limits.told()
    kept = [one.keeps(told) if _only_checks(fate) else None for one, fate in zip(known, fates, strict=True)]
    return {check: [None if one is None else one[check] for one in kept] for check in CHECKS}


def check_facts(known: Sequence[Known], passed: Passed, limits: Limits) -> dict[str, object]:
    """How many majorities the programs contradict, of all tasks, and what each check says of those it was asked of."""
    told = limits.told()
    table = {
        check: {
            "gated": check in limits.asked,
            "limit": float(getattr(told, check)),
            "passing": sum(one is True for one in found),
            "failing": sum(one is False for one in found),
        }
        for check, found in passed.items()
    }
    return {"contradicted": sum(one.contradicted for one in known), "checks": table}


def _only_checks(fate: Reason) -> bool:
    return fate in ("kept", "refused", *CHECKS)
