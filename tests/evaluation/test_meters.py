"""The meter's view of a pool against labels counted by hand, and that nothing which learns can reach it."""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from pathlib import Path

import pytest

import coevolve
from coevolve.curriculum.voting import vote
from coevolve.errors import ConfigError
from coevolve.evaluation.meters import PoolMeter, true_accuracy
from coevolve.evaluation.oracle import TrueLabels
from coevolve.types import Group, LabelledTask
from coevolve.worlds.open.meter import OpenMeter


@pytest.fixture
def pool(task, trajectory):
    """Four tasks: label right, label wrong, no majority, no truth ("9+9")."""
    answers = {
        "1+1": ["2", "2.0", "7"],
        "2+2": ["5", "5", "4"],
        "3+3": [None, None, None],
        "9+9": ["18", "18", "18"],
    }
    return [
        Group(one, tuple(trajectory(one, i, a) for i, a in enumerate(given)), vote(given))
        for one, given in ((task(name), given) for name, given in answers.items())
    ]


def test_label_accuracy_counts_tasks_without_majority_or_truth_as_wrong(pool, meter_without) -> None:
    watch = PoolMeter(meter_without("9+9"))
    kept = [LabelledTask(group.task, group.vote.answer, group.vote.p_hat) for group in pool[:2]]
    watch.labelled(pool, kept)
    assert watch.label_accuracy_all == 0.25
    assert watch.label_accuracy_kept == 0.5


def test_a_kept_task_without_truth_is_wrong(pool, meter_without) -> None:
    watch = PoolMeter(meter_without("9+9"))
    watch.labelled(pool, [LabelledTask(pool[3].task, "18", 1.0)])
    assert watch.label_accuracy_kept == 0.0


def test_rows_hold_the_truth_of_every_task(pool, meter_without) -> None:
    watch = PoolMeter(meter_without("9+9"))
    watch.labelled(pool, [])
    names = ("task_id", "truth", "label_right")
    values = [("1+1", "2", True), ("2+2", "4", False), ("3+3", "6", False), ("9+9", None, False)]
    assert watch.rows() == [dict(zip(names, row, strict=True)) for row in values]


def test_a_new_pool_replaces_the_old_one_and_nothing_is_known_before(pool, meter) -> None:
    watch = PoolMeter(meter)
    assert math.isnan(watch.label_accuracy_all)
    assert math.isnan(watch.label_accuracy_kept)
    watch.labelled(pool, [])
    watch.labelled(pool[:1], [])
    assert watch.label_accuracy_all == 1.0
    assert math.isnan(watch.label_accuracy_kept)
    assert len(watch.rows()) == 1


def test_the_listener_tells_the_loop_nothing(pool, meter) -> None:
    assert PoolMeter(meter).labelled(pool, []) is None


def test_true_accuracy_matches_answers_to_tasks_by_id(meter_without, task, trajectory) -> None:
    tasks = [task("1+1"), task("2+2"), task("9+9")]
    answers = [("2+2", "4"), ("1+1", "2"), ("1+1", "4"), ("2+2", None), ("9+9", "18")]
    trajectories = [trajectory(task(name), i, answer) for i, (name, answer) in enumerate(answers)]
    assert true_accuracy(meter_without("9+9"), trajectories, tasks) == 0.4
    assert math.isnan(true_accuracy(meter_without(), [], tasks))


def test_an_answer_to_an_unknown_task_is_an_error(meter, task, trajectory) -> None:
    with pytest.raises(KeyError, match=r"1\+1"):
        true_accuracy(meter, [trajectory(task("1+1"), 0, "2")], [task("2+2")])


@pytest.mark.parametrize("package", ["learning", "engine", "rollout", "curriculum", "methods"])
def test_nothing_that_learns_knows_the_meter(package: str) -> None:
    files = list((Path(coevolve.__file__).parent / package).rglob("*.py"))
    assert files
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.name for node in ast.walk(tree) for alias in getattr(node, "names", []) if hasattr(alias, "name")
        }
        assert not names & {"Meter", "Suite", "Problem"}, path


def test_where_the_truth_is_not_known_no_label_and_no_answer_is_called_wrong(task, trajectory) -> None:
    asked = [replace(task(name), turns=(name,)) for name in ("What is 9 + 9?", "What is 3 + 3?", "How many 21 repeat?")]
    pool = [
        Group(one, tuple(trajectory(one, i, answer) for i in range(2)), vote([answer] * 2))
        for one, answer in zip(asked, ("18", "7", "441"), strict=True)
    ]
    watch = PoolMeter(OpenMeter())
    watch.labelled(pool, [LabelledTask(group.task, str(group.vote.answer), 1.0) for group in pool])
    assert watch.facts == {
        "label_accuracy_kept": 0.5,
        "label_accuracy_all": 0.5,
        "label_known_kept": 2,
        "label_known_all": 2,
    }
    assert [(row["truth"], row["label_right"]) for row in watch.rows()] == [("18", True), ("6", False), (None, None)]
    answers = [answer for group in pool for answer in group.trajectories]
    assert true_accuracy(OpenMeter(), answers, asked) == 0.5
    watch.labelled(pool[2:], [LabelledTask(asked[2], "441", 1.0)])
    assert math.isnan(watch.label_accuracy_all)
    assert math.isnan(watch.label_accuracy_kept)
    assert math.isnan(true_accuracy(OpenMeter(), pool[2].trajectories, asked[2:]))


def test_where_every_truth_is_known_nothing_is_said_of_what_is_not(pool, meter) -> None:
    watch = PoolMeter(meter)
    watch.labelled(pool, [])
    assert set(watch.facts) == {"label_accuracy_kept", "label_accuracy_all"}


def test_a_dialogue_has_no_truth_in_the_open_world(task) -> None:
    question = "What is 3 + 3?"
    assert OpenMeter().truth(replace(task("talk"), turns=(question,))) == "6"
    assert OpenMeter().truth(replace(task("talk"), turns=(question, "And 1 more?"))) is None


def test_a_label_that_is_not_the_majority_is_judged_for_itself(pool, meter) -> None:
    watch = PoolMeter(meter)
    watch.labelled(pool, [LabelledTask(group.task, "4", group.vote.p_hat) for group in pool[1:2]])
    assert (watch.label_accuracy_all, watch.label_accuracy_kept) == (0.5, 1.0)
    assert [row["label_right"] for row in watch.rows()] == [True, True, False, True]


def test_true_labels_are_those_of_the_meter(meter_without, task) -> None:
    labeller = TrueLabels(meter_without("9+9"), "miniature")
    assert [labeller(task(name)) for name in ("1+1", "2+2", "9+9")] == ["2", "4", None]


def test_a_world_without_truth_has_no_true_labels() -> None:
    with pytest.raises(ConfigError, match="the world open does not know the true answers of all"):
        TrueLabels(OpenMeter(), "open")


def test_labels_are_told_by_check_among_those_that_it_was_asked_of(pool, meter) -> None:
    watch = PoolMeter(meter)
    assert all(math.isnan(share) for share in watch.right_by([True, False]).values())
    watch.labelled(pool, [])
    assert watch.right_by([True, True, False, None]) == {"right_passing": 0.5, "right_failing": 0.0}
    last = watch.right_by([None, None, None, True])
    assert last["right_passing"] == 1.0
    assert math.isnan(last["right_failing"])
