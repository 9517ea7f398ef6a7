"""Real runs that are made to collapse by a learning rate a hundred times too large, and one that is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.engine.local.models import read_tensors
from coevolve.monitor.summary import summarise
from coevolve.worlds.miniature.learner import ASSETS

Tiny = Callable[..., list[str]]

# A first pool that gives the probe enough tasks, and two steps of learning.
SETTINGS = (
    "iterations=1", "proposer.train=false", "pool.size=80", "pool.votes=8", "solver.tasks=8",
    "solver.group_size=8", "evaluation.levels=1", "evaluation.pool_samples=0", "evaluation.forced_fence=false",
)  # fmt: skip


def equal_weights(left: Path, right: Path) -> bool:
    ours, theirs = read_tensors(left), read_tensors(right)
    return ours.keys() == theirs.keys() and all((ours[name] == theirs[name]).all() for name in ours)


def rows(run: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in lines if row["event"] == event]


@pytest.fixture
def run(cli: Callable[..., Any], tiny: Tiny, tmp_path: Path) -> Callable[..., tuple[Path, str]]:
    def start(*overrides: str) -> tuple[Path, str]:
        arguments = [x for x in tiny(tmp_path / "run", *overrides) if x != "--quiet"]
        ended = cli(*arguments)
        assert ended.code == 0, ended.stderr
        return tmp_path / "run", ended.stdout

    return start


def test_a_broken_executor_gives_way_to_the_last_good_one(run: Callable[..., tuple[Path, str]]) -> None:
    path, said = run(*SETTINGS, "solver.lr=0.05", "solver.steps=3")
    (probe,) = rows(path, "probe")
    assert probe["tasks"] >= 16
    assert probe["worse"]
    assert probe["agreement"] < probe["best_agreement"]
    (rollback,) = rows(path, "rollback")
    assert rollback["to"] == 0
    checkpoints = path / "checkpoints/iteration-1"
    assert equal_weights(checkpoints / "solver", ASSETS)
    assert not equal_weights(checkpoints / "solver-rejected", ASSETS)
    before, after = (row["held_out"] for row in rows(path, "evaluation"))
    assert before == after, "what goes on is the model that was there before"
    assert "ROLLBACK in iteration 1" in said
    assert "ROLLED BACK to iteration 0" in said
    assert "ALARM in iteration 1: the executor stopped using the tool" in said
    (_, entry) = summarise(path)["iterations"]
    assert "tool unused" in {alarm["kind"] for alarm in entry["alarms"]}
    assert entry["rollback"]["to"] == 0


def test_an_executor_that_learns_is_not_rolled_back(run: Callable[..., tuple[Path, str]]) -> None:
    path, said = run(*SETTINGS, "solver.steps=3")
    (probe,) = rows(path, "probe")
    assert probe["tasks"] >= 16
    assert not probe["worse"]
    assert rows(path, "rollback") == []
    assert "ROLL" not in said
    assert not equal_weights(path / "checkpoints/iteration-1/solver", ASSETS)
    assert not (path / "checkpoints/iteration-1/solver-rejected").exists()
    assert all(row["skipped_updates"] == 0 for row in rows(path, "executor_step"))


def test_a_curriculum_agent_that_forgets_how_to_ask_raises_an_alarm(run: Callable[..., tuple[Path, str]]) -> None:
    collapse = ("iterations=1", "pool.size=32", "proposer.lr=0.05", "proposer.steps=3", "solver.train=false")
    path, said = run(*collapse)
    (pool,) = rows(path, "pool")
    kinds = {row["kind"] for row in rows(path, "alarm")}
    assert ("malformed" in kinds) == (pool["well_formed"] < 0.5)
    assert ("repeats" in kinds) == (max(pool["duplicates"], pool["text_duplicates"]) > 0.5)
    assert kinds & {"malformed", "repeats"}, pool
    assert "ALARM in iteration 1" in said
