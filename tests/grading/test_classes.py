"""Classes from pairs, over a hand-made relation: closure, weak forms, running out of time, no order."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest

from coevolve.grading.classes import PATIENCE, Budget, Rules, partition
from coevolve.grading.verdict import Stage, Verdict

Pairs = Mapping[str, Stage | None]
DIFFERENT = Verdict(False, Stage.FORM, "")


@pytest.fixture
def groups() -> Callable[..., tuple[set[frozenset[str]], int]]:
    """Classes of one-letter answers under a relation: "ab" maps to the stage that calls a (weak) and b the same, or
    to None where it is left open; open pairs are the same when they are in ``symbolic``, and late when in ``late``.
    """

    def make(letters: str, own: Pairs, symbolic: str = "", late: str = "") -> tuple[set[frozenset[str]], int]:
        def look(x: str, y: str) -> Verdict | None:
            for pair in (x + y, y + x):
                if pair in own:
                    stage = own[pair]
                    return Verdict(True, stage, "") if stage else None
            return DIFFERENT

        def ask(x: str, y: str) -> Verdict:
            listed = {*symbolic.split(), *late.split()}
            found = next((pair for pair in (x + y, y + x) if pair in listed), "")
            return Verdict(found in symbolic.split(), Stage.TIMEOUT if found in late.split() else Stage.SYMBOLIC, "")

        rules = Rules(class_key=lambda _: None, own=look, weaker=lambda x, y: x + y in own, symbolic=ask)
        order = list(letters)
        results = []
        for _ in range(5):
            random.shuffle(order)
            found, timeouts = partition({letter: [letter] for letter in order}, rules)
            results.append((found, timeouts))
        assert all(result == results[0] for result in results)
        return {frozenset(group) for group in results[0][0]}, results[0][1]

    return make


Groups = Callable[..., tuple[set[frozenset[str]], int]]


def classes(*texts: str) -> set[frozenset[str]]:
    return {frozenset(text) for text in texts}


def test_exact_sameness_is_closed_over_third_answers(groups: Groups) -> None:
    assert groups("abcd", {"ab": Stage.FORM, "bc": Stage.FORM})[0] == classes("abc", "d")
    assert groups("abcd", {"ab": None, "bc": None, "cd": None}, symbolic="ab bc")[0] == classes("abc", "d")


def test_a_weak_form_joins_the_only_strong_class(groups: Groups) -> None:
    assert groups("ws", {"ws": Stage.UNIT})[0] == classes("ws")
    assert groups("wst", {"ws": Stage.UNIT, "st": None}, symbolic="st")[0] == classes("wst")


def test_a_weak_form_between_two_strong_classes_stays_alone(groups: Groups) -> None:
    assert groups("wst", {"ws": Stage.UNIT, "wt": Stage.UNIT})[0] == classes("w", "s", "t")


def test_two_weak_forms_may_join_one_strong_class(groups: Groups) -> None:
    assert groups("vws", {"vs": Stage.ROUNDED, "ws": Stage.ROUNDED})[0] == classes("vws")


def test_two_strong_classes_become_one_when_they_are_the_same_and_then_the_weak_form_joins(groups: Groups) -> None:
    own = {"ws": Stage.UNIT, "wt": Stage.UNIT, "st": None}
    assert groups("wst", own, symbolic="st")[0] == classes("wst")
    assert groups("wst", own)[0] == classes("w", "s", "t")


def test_a_chain_of_weak_forms_joins_only_what_each_of_them_fits(groups: Groups) -> None:
    chain = {"ab": Stage.ROUNDED, "bc": Stage.UNIT}
    assert groups("abc", chain)[0] == classes("a", "bc")
    assert groups("abc", chain | {"ac": Stage.UNIT})[0] == classes("abc")


def test_pairs_that_run_out_of_time_are_different_and_counted(groups: Groups) -> None:
    assert groups("abc", {"ab": None}, late="ab") == (classes("a", "b", "c"), 1)


def test_an_answer_that_is_always_late_is_not_tried_for_ever(groups: Groups) -> None:
    everything = [x + y for x in "abcdefghij" for y in "abcdefghij" if x < y]
    found, timeouts = groups("abcdefghij", dict.fromkeys(everything), late=" ".join(everything))
    assert len(found) == 10
    assert timeouts <= 10 * PATIENCE // 2


def _counted(budget: Budget, *, stage: Stage, effort: int = 0) -> tuple[int, int, int]:
    """Of twelve answers, all different by math-verify: pairs that it was asked about, timed out, and skipped."""
    asked = 0

    def ask(x: str, y: str) -> Verdict:
        nonlocal asked
        asked += 1
        budget.seconds -= 1.0
        return Verdict(False, stage, "")

    rules = Rules(
        class_key=lambda _: None,
        own=lambda x, y: None,
        weaker=lambda x, y: False,
        symbolic=ask,
        effort=lambda x, y: effort,
    )
    timeouts = partition({letter: [letter] for letter in "abcdefghijkl"}, rules, budget)[1]
    return asked, timeouts, budget.skipped


def test_a_group_has_a_budget_of_time_outs_questions_time_and_letters() -> None:
    pairs = 12 * 11 // 2
    assert _counted(Budget(late=3), stage=Stage.TIMEOUT) == (3, 3, pairs - 3)
    assert _counted(Budget(questions=10), stage=Stage.SYMBOLIC) == (10, 0, pairs - 10)
    assert _counted(Budget(seconds=7.5), stage=Stage.SYMBOLIC) == (8, 0, pairs - 8)
    assert _counted(Budget(letters=100), stage=Stage.SYMBOLIC, effort=25) == (4, 0, pairs - 4)
    assert _counted(Budget(questions=pairs), stage=Stage.SYMBOLIC) == (pairs, 0, 0)


def test_the_form_to_show_is_a_short_strong_one() -> None:
    stage = {frozenset(("5", "5cm")): Verdict(True, Stage.UNIT, "")}
    rules = Rules(
        class_key=lambda text: text.replace(" ", "").replace("metres", "m"),
        own=lambda x, y: stage.get(frozenset((x.replace(" ", ""), y.replace(" ", ""))), DIFFERENT),
        weaker=lambda x, y: len(x) < len(y),
        symbolic=lambda x, y: DIFFERENT,
    )
    assert partition({"5": ["5"], "5 cm": ["5 cm"], "5cm": ["5cm"]}, rules)[0] == [["5cm", "5 cm", "5"]]
