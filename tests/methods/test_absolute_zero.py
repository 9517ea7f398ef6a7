"""Absolute Zero: what a step asks for and solves, its six baselines, its buffers on disk, and a run that is killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from coevolve.errors import ConfigError
from coevolve.learning.advantages import keyed
from coevolve.methods.absolute_zero import AbsoluteZero
from coevolve.methods.absolute_zero_config import AbsoluteZeroConfig
from coevolve.methods.phases.propose_and_solve import ask_for, tasks_of
from coevolve.methods.registry import load_config
from coevolve.methods.triplets import Learnable, Triplets, table_of
from coevolve.types import SOLVER
from coevolve.worlds.code.items import ABDUCTION, DEDUCTION, INDUCTION, KINDS, Proposal, Triplet

from .memory import TablesInMemory

SMALL = (
    "iterations=1", "engine.workers=1", "policy.steps=3", "propose.texts=4", "propose.samples=2", "solve.tasks=4",
    "evaluation.per_level=2", "evaluation.samples=2",
)  # fmt: skip
PHASE = "iteration-1/propose_and_solve"


def triplet(kind: str, n: int) -> Triplet:
    return Triplet(Proposal(kind, f"def f(a):\n    return a + {n}", ("1",)), (str(1 + n),))


def test_one_agent_learns_in_both_roles() -> None:
    config = load_config("absolute-zero")
    assert isinstance(config, AbsoluteZeroConfig)
    (agent,) = AbsoluteZero().agents(config)
    assert (agent.id, agent.trained) == (SOLVER, True)
    assert load_config(None, None, [], method="absolute-zero").preset == "absolute-zero"


def test_the_presets_keep_the_paper_and_its_code() -> None:
    paper, code = load_config("absolute-zero"), load_config("absolute-zero-code")
    assert isinstance(paper, AbsoluteZeroConfig)
    assert isinstance(code, AbsoluteZeroConfig)
    for config in (paper, code):
        assert (config.solve.wrong, config.solve.ill_formed, config.propose.samples) == (-0.5, -1.0, 8)
        assert (config.buffer.capacity, config.sampling.temperature, config.policy.kl_gradient) == (16_384, 1.0, "k3")
    assert (paper.propose.unlearnable, code.propose.unlearnable) == (0.0, -0.5)


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("world=miniature", "world is code"),
        ("tool.enabled=true", "without a tool"),
        ("dialogue.turns=2", "one user turn"),
        ("sampling.solver.top_p=0.9", "must agree"),
        ("policy.minibatches=999", "larger than"),
    ],
)
def test_what_does_not_fit_is_refused(override: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load_config("absolute-zero", None, [override])


def test_the_six_baselines_do_not_move_each_other() -> None:
    rng = np.random.default_rng(0)
    keys = [(role, kind) for role in ("propose", "solve") for kind in KINDS for _ in range(5)]
    rewards = rng.normal(size=len(keys))
    before = keyed(rewards, keys)
    shifted = rewards + np.array([7.0 if key == ("solve", DEDUCTION) else 0.0 for key in keys])
    assert keyed(shifted, keys) == pytest.approx(before)
    for key in set(keys):
        mine = before[[one == key for one in keys]]
        assert mine.mean() == pytest.approx(0, abs=1e-9)
        assert mine.std(ddof=1) == pytest.approx(1, abs=1e-5)


def test_proposals_follow_on_tasks_of_their_type_and_induction_on_a_program() -> None:
    triplets = Triplets(TablesInMemory(), 1, [], 100)  # type: ignore[arg-type]
    triplets.add(0, [Learnable(triplet(kind, n), 0.5) for kind in (DEDUCTION, ABDUCTION) for n in range(1, 6)])
    asked = ask_for(triplets.before(1), texts=3, shown=2, seed=1)
    assert [one.context.kind for one in asked] == [kind for kind in KINDS for _ in range(3)]
    for one in asked[:6]:
        assert len(set(one.context.examples)) == 2
    programs = {triplet(DEDUCTION, n).proposal.program for n in range(1, 6)} | {"def f(a):\n    return a"}
    assert all(one.program in programs and one.context.examples == (one.program,) for one in asked[6:])


def test_new_tasks_are_solved_before_earlier_ones_and_none_twice() -> None:
    triplets = Triplets(TablesInMemory(), 1, [], 100)  # type: ignore[arg-type]
    triplets.add(0, [Learnable(triplet(DEDUCTION, n), 0.5) for n in range(1, 10)])
    new = [triplet(DEDUCTION, n) for n in (3, 20, 21)]  # one of them was proposed before
    tasks = tasks_of(triplets.before(1), new, 6, seed=2)
    assert len({one.proposal.key for one in tasks}) == len(tasks)
    deduction = [one for one in tasks if one.proposal.kind == DEDUCTION]
    assert len(deduction) == 6
    assert {one.proposal.key for one in deduction[:3]} == {one.proposal.key for one in new}
    assert [one.proposal.kind for one in tasks if one.proposal.kind != DEDUCTION] == [ABDUCTION]  # the identity's
    assert len(tasks_of(triplets.before(1), new, 2, seed=2)) == 3


def test_a_step_that_is_done_again_finds_what_was_there_before_it() -> None:
    store = TablesInMemory()
    first = Triplets(store, 2, [1], 100)  # type: ignore[arg-type]
    store.write_table(table_of(1, 0), [])
    first.add(0, [Learnable(triplet(DEDUCTION, 1), 0.5), Learnable(triplet(DEDUCTION, 1), 0.5)])
    counts = first.add(1, [Learnable(triplet(DEDUCTION, n), None) for n in (1, 2)])
    assert counts == {DEDUCTION: 1, ABDUCTION: 0, INDUCTION: 0}
    held = first.before(2)[DEDUCTION].held
    assert [one.outputs for one in held] == [("3",), ("2",), ("3",)]  # the identity of 3, 1 + 1, 1 + 2

    again = Triplets(store, 2, [1], 100)  # type: ignore[arg-type]
    assert [one.outputs for one in again.before(1)[DEDUCTION].held] == [("3",), ("2",)]
    assert again.before(2)[DEDUCTION].held == held


def test_a_full_buffer_on_disk_keeps_the_newest() -> None:
    store = TablesInMemory()
    Triplets(store, 1, [], 3).add(0, [Learnable(triplet(DEDUCTION, n), 0.5) for n in range(1, 6)])  # type: ignore[arg-type]
    again = Triplets(store, 1, [], 3)  # type: ignore[arg-type]
    assert again.before(1)[DEDUCTION].held == [triplet(DEDUCTION, n) for n in (3, 4, 5)]


def run_of(cli: Callable[..., Any], run: Path, **how: object) -> Any:
    sets = [part for key in (f"run.dir={run}", *SMALL) for part in ("--set", key)]
    return cli("run", "absolute-zero", "--quiet", *sets, **how)


@pytest.fixture(scope="module")
def whole(cli: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("absolute-zero") / "whole"
    ended = run_of(cli, run)
    assert ended.code == 0, ended.stderr
    return run


def test_a_run_tells_its_steps_and_measures_every_type(whole: Path) -> None:
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if row["event"] == "propose_and_solve_step"]
    assert [row["step"] for row in steps] == [1, 2, 3]
    assert all(0 <= row["valid"] <= 1 and row["max_logp_gap"] < 1e-3 for row in steps)
    held_out = [row["held_out"] for row in rows if row["event"] == "evaluation"]
    assert [sorted(row["by_level"]) for row in held_out] == [sorted(KINDS)] * 2
    tables = [pq.read_table(whole / table_of(1, step)).to_pylist() for step in range(3)]
    assert [len(table) for table in tables] == [row["new"] for row in steps]


@pytest.mark.slow
def test_a_run_that_is_killed_twice_ends_with_the_same_bytes(
    cli: Callable[..., Any], whole: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    kill = {"phase": PHASE, "when": "after", "kind": "kill"}
    assert run_of(cli, broken, fault=kill | {"method": "save_point"}).code == -9  # after the first step
    again = cli("resume", str(broken), "--quiet", fault=kill | {"method": "write_table"})
    assert again.code == -9  # in the second step, when its tasks were written down
    last = cli("resume", str(broken), "--quiet")
    assert last.code == 0, last.stderr
    names = [
        "metrics.jsonl",
        *(table_of(1, step) for step in range(3)),
        "checkpoints/iteration-1/solver/model.safetensors",
    ]
    for name in names:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
