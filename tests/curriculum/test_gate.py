"""The gate: inclusive bounds, tasks without a label, counts."""

from __future__ import annotations

import pytest

from coevolve.curriculum.gate import gate
from coevolve.curriculum.voting import vote
from coevolve.types import PROPOSER, Group, Origin, Task


def group(agreeing: int, k: int) -> Group:
    """A group in which ``agreeing`` of k answers are equal and all others differ."""
    task = Task(f"{agreeing}/{k}", ("?",), "test", Origin("agent0", PROPOSER, 1))
    answers = ["yes"] * agreeing + [f"no {'x' * i}" for i in range(1, k - agreeing + 1)]
    return Group(task, (), vote(answers if agreeing else [None] * k))


@pytest.mark.parametrize("k", [3, 7, 8, 9, 10, 13, 16])
def test_bounds_are_inclusive_for_every_count(k: int) -> None:
    for low in range(1, k + 1):
        for high in range(low, k + 1):
            bounds = (low * (1 / k), 1 - (k - high) / k)  # the same numbers, rounded in other ways
            result = gate([group(count, k) for count in range(1, k + 1)], *bounds)
            assert [kept.task.id for kept in result.kept] == [f"{count}/{k}" for count in range(low, high + 1)]


def test_reasons_add_up_and_name_every_fate() -> None:
    groups = [group(count, 10) for count in (0, 1, 2, 3, 5, 8, 9, 10)]
    result = gate(groups, 0.3, 0.8)
    assert result.reasons == {"kept": 3, "no_answer": 1, "below": 2, "above": 2, "narrow": 0, "unverified": 0}
    assert [kept.task.id for kept in result.kept] == ["3/10", "5/10", "8/10"]


def test_a_disabled_gate_keeps_all_that_has_a_label() -> None:
    groups = [group(count, 10) for count in (0, 1, 5, 10)]
    result = gate(groups, 0.3, 0.8, enabled=False)
    assert result.reasons == {"kept": 3, "no_answer": 1, "below": 0, "above": 0, "narrow": 0, "unverified": 0}


def test_no_groups() -> None:
    assert gate([]).reasons == {"kept": 0, "no_answer": 0, "below": 0, "above": 0, "narrow": 0, "unverified": 0}


def votes(*sizes: int) -> Group:
    """A group whose classes have these sizes."""
    answers = [str(number) for number, size in enumerate(sizes) for _ in range(size)]
    return Group(Task("-".join(map(str, sizes)), ("?",), "test", Origin("agent0", PROPOSER, 1)), (), vote(answers))


@pytest.mark.parametrize(("margin", "kept"), [(0.0, 4), (0.1, 3), (0.3, 2), (0.5, 1)])
def test_a_majority_must_be_ahead_by_the_margin_inclusive(margin: float, kept: int) -> None:
    groups = [votes(7, 2, 1), votes(6, 3, 1), votes(5, 4, 1), votes(5, 5)]
    result = gate(groups, 0.3, 0.8, margin=margin)
    assert result.kept == tuple(groups[:kept])
    assert (result.reasons["kept"], result.reasons["narrow"]) == (kept, 4 - kept)


def test_only_what_would_be_kept_is_asked_for_more_than_votes() -> None:
    groups = [votes(7, 3), votes(6, 4), votes(10), votes(5, 5)]
    asked: list[str] = []

    def verified(group: Group) -> bool:
        asked.append(group.task.id)
        return group.task.id == "6-4"

    result = gate(groups, 0.3, 0.8, margin=0.1, verified=verified)
    assert asked == ["7-3", "6-4"]
    assert result.fates == ("unverified", "kept", "above", "narrow")


def test_ties_may_be_left_out_with_a_reason_of_their_own() -> None:
    groups = [votes(5, 5), votes(4, 4, 2), votes(5, 4, 1), votes(9, 1), votes(2, 2, 2, 2, 2)]
    kept = gate(groups, 0.3, 0.8)
    assert kept.fates == ("kept", "kept", "kept", "above", "below")
    assert "tied" not in kept.reasons
    result = gate(groups, 0.3, 0.8, margin=0.1, ties=False)
    assert result.fates == ("tied", "tied", "kept", "above", "below")
    assert (result.reasons["tied"], result.reasons["narrow"]) == (2, 0)
