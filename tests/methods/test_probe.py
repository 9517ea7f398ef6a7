"""The gate on executors whose answers are given: what is compared with what, and which executor goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from answering import Answering

from coevolve.config import Config
from coevolve.engine.base import Arrays
from coevolve.grading.equivalence import OWN_RULES
from coevolve.methods.base import Row, State
from coevolve.methods.probe import freeze_probe, keep_or_roll_back
from coevolve.rollout.base import Snapshot
from coevolve.types import LabelledTask, StopReason, Task, Trajectory
from coevolve.worlds.miniature.learner import MiniatureWorld

from .memory import TablesInMemory

Make = Callable[..., Trajectory]
TASKS, SAMPLES = 20, 4


@dataclass
class Run(TablesInMemory, Answering):
    """A run folder without a disk, with executors that answer ``right[name]`` of their ``SAMPLES`` answers by label."""

    make: Make
    config: Config
    right: dict[str, int]
    folders: dict[str, str] = field(default_factory=dict)  # relative -> whose weights
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seeds: list[tuple[str, int]] = field(default_factory=list)
    frozen: Sequence[LabelledTask] = ()
    lost: int = 0

    # the store
    def log(self, row: Row) -> None:
        self.rows.append(dict(row))

    def save_folder(self, relative: str, write: Callable[[Path], None]) -> Path:
        write(self.path(relative))
        return Path(relative)

    def path(self, relative: str) -> Any:
        return relative

    # observer, display, rollouts, checkpoints, trainers
    def on_labels(self, tasks: Sequence[LabelledTask], facts: Row) -> None:
        self.frozen = tasks

    def note(self, text: str) -> None:
        self.notes.append(text)

    def solve(self, policy: Snapshot, tasks: Sequence[Task], samples: int, *, seed: int) -> list[Any]:
        self.seeds.append((policy.name, seed))
        answers = ["7"] * self.right[policy.name] + ["8"] * (samples - self.right[policy.name])
        group = [self.make(answer=a) for a in answers]
        for i in range(self.lost):
            group[i] = self.make(stop=StopReason.INFRASTRUCTURE)
        return [tuple(group) for _ in tasks]

    def folder(self, agent: str, iteration: int) -> Any:
        return f"checkpoints/iteration-{iteration}/{agent}" if iteration else "base"

    def weights(self, agent: str, iteration: int) -> Snapshot:
        return Snapshot(self.folders.get(self.folder(agent, iteration), "base"), -1, Arrays({}))

    def open_trainer(self, folder: Any, *how: Any, **more: Any) -> Saved:
        return Saved(self, self.folders.get(folder, "base"))

    def state(self) -> State:
        me: Any = self
        return State(self.config, MiniatureWorld(), me, me, self.open_trainer, me, me, me, OWN_RULES, me)  # type: ignore[arg-type]

    def finish(self, iteration: int) -> dict[str, Any]:
        """End the executor phase of an iteration; returns its probe row."""
        policy: Any = Saved(self, f"solver-{iteration}")
        keep_or_roll_back(self.state(), iteration, policy, f"checkpoints/iteration-{iteration}/solver", "executor")
        return next(row for row in reversed(self.rows) if row["event"] == "probe")


@dataclass
class Saved:
    """Weights that are a name: a policy, or a trainer that was opened on a folder."""

    run: Run
    name: str

    def weights(self) -> Snapshot:
        return Snapshot(self.name, 3, Arrays({}))

    def save(self, path: Any, *, optimizer: bool) -> None:
        assert not optimizer
        self.run.folders[path] = self.name


@pytest.fixture
def make_run(trajectory: Make, labelled: Callable[..., LabelledTask], config: Callable[..., Config]) -> Any:
    """A run whose first pool gave ``tasks`` probe tasks with the label 7."""

    def make(right: dict[str, int], *overrides: str, tasks: int = TASKS) -> Run:
        run = Run(trajectory, config(f"health.probe_samples={SAMPLES}", *overrides), right)
        pool = [labelled(f"p{i}").task for i in range(tasks)]
        freeze_probe(run.state(), pool, [[trajectory(answer="7", calls=1)] * 2] * tasks)
        return run

    return make


def test_an_executor_that_is_no_worse_is_kept(make_run: Any) -> None:
    run = make_run({"base": 1, "solver-1": 3, "solver-2": 3})
    first, second = run.finish(1), run.finish(2)
    assert (first["agreement"], first["best_agreement"], first["best"]) == (0.75, 0.25, 0)
    assert (second["difference"], second["best"], second["worse"]) == (0.0, 1, False)
    assert run.folders == {f"checkpoints/iteration-{t}/solver": f"solver-{t}" for t in (1, 2)}
    assert not run.notes
    assert [row["event"] for row in run.rows] == ["probe", "probe"]


def test_a_worse_executor_is_put_aside_and_the_one_before_goes_on(make_run: Any) -> None:
    run = make_run({"base": 1, "solver-1": 3, "solver-2": 0, "solver-3": 3})
    run.finish(1)
    probe = run.finish(2)
    assert probe["worse"]
    assert (probe["difference"], probe["second_difference"]) == (-0.75, -0.75)
    assert run.folders["checkpoints/iteration-2/solver"] == "solver-1"
    assert run.folders["checkpoints/iteration-2/solver-rejected"] == "solver-2"
    rollback = run.rows[-1]
    assert (rollback["event"], rollback["iteration"], rollback["to"]) == ("rollback", 2, 1)
    (note,) = run.notes
    assert note.startswith("ROLLBACK in iteration 2")
    assert "75 points fewer than the executor of iteration 1" in note
    third = run.finish(3)
    assert (third["best"], third["worse"]) == (1, False), "the rejected one is never the best"
    assert run.folders["checkpoints/iteration-3/solver"] == "solver-3"


def test_a_first_executor_that_is_worse_gives_way_to_the_base_model(make_run: Any) -> None:
    run = make_run({"base": 4, "solver-1": 1})
    run.finish(1)
    assert run.folders["checkpoints/iteration-1/solver"] == "base"
    assert run.rows[-1]["to"] == 0
    assert "The base model goes on" in run.notes[0]


def test_slow_decay_is_measured_against_the_best_and_the_last_good_one_goes_on(make_run: Any, trajectory: Make) -> None:
    run = make_run({"base": 1, "solver-1": 4, "solver-2": 4, "solver-3": 2})
    run.finish(1)
    run.finish(2)
    assert run.finish(3)["best"] == 2, "of two that are equal the newer one is the best"
    assert run.rows[-1]["to"] == 2


def test_after_two_rollbacks_the_origin_of_the_executor_is_still_told(make_run: Any) -> None:
    run = make_run({"base": 0, "solver-1": 4, "solver-2": 0, "solver-3": 0})
    for t in (1, 2, 3):
        run.finish(t)
    assert [row["to"] for row in run.rows if row["event"] == "rollback"] == [1, 1]
    assert run.folders["checkpoints/iteration-3/solver"] == "solver-1"


def test_all_executors_get_the_same_random_numbers_and_a_second_look_gets_others(make_run: Any) -> None:
    run = make_run({"base": 1, "solver-1": 4, "solver-2": 0})
    run.finish(1)
    run.finish(2)
    names, seeds = zip(*run.seeds, strict=True)
    assert names == ("base", "solver-1", "solver-2", "solver-2", "solver-1")
    assert len(set(seeds[:3])) == 1
    assert len(set(seeds[3:])) == 1
    assert seeds[3] != seeds[0]


def test_a_bad_first_look_that_a_second_does_not_confirm_rejects_nobody(make_run: Any) -> None:
    run = make_run({"base": 1, "solver-1": 4, "solver-2": 1})
    run.finish(1)
    honest = run.solve

    def recovering(policy: Snapshot, tasks: Sequence[Task], samples: int, *, seed: int) -> list[Any]:
        out = honest(policy, tasks, samples, seed=seed)
        run.right["solver-2"] = 4
        return out

    run.solve = recovering
    probe = run.finish(2)
    assert (probe["difference"], probe["second_difference"], probe["worse"]) == (-0.75, 0.0, False)
    assert run.folders["checkpoints/iteration-2/solver"] == "solver-2"


def test_without_rollback_the_worse_executor_goes_on_and_is_measured(make_run: Any) -> None:
    run = make_run({"base": 0, "solver-1": 4, "solver-2": 0, "solver-3": 0}, "health.rollback=false")
    assert [run.finish(t)["worse"] for t in (1, 2, 3)] == [False, True, True]
    assert run.folders == {f"checkpoints/iteration-{t}/solver": f"solver-{t}" for t in (1, 2, 3)}
    assert not run.notes


def test_answers_that_the_sandbox_lost_are_in_no_share(make_run: Any) -> None:
    run = make_run({"base": 3, "solver-1": 3})
    run.lost = 2
    assert run.finish(1)["agreement"] == 0.5, "one of the two that were heard"


def test_a_probe_that_is_too_small_is_said_and_rejects_nobody(make_run: Any) -> None:
    run = make_run({"base": 4, "solver-1": 0}, tasks=15)
    assert "only 15 tasks qualify as probe tasks, 16 are needed" in run.notes[0]
    assert not run.finish(1)["worse"]


def test_without_any_probe_task_the_executor_is_kept(make_run: Any) -> None:
    run = make_run({}, tasks=0)
    keep_or_roll_back(run.state(), 1, Saved(run, "solver-1"), "checkpoints/iteration-1/solver", "executor")  # type: ignore[arg-type]
    assert run.folders == {"checkpoints/iteration-1/solver": "solver-1"}
    assert run.rows == []


def test_the_first_tasks_that_have_a_label_make_the_probe(
    make_run: Any, trajectory: Make, labelled: Callable[..., LabelledTask]
) -> None:
    run = make_run({}, "health.probe=3", tasks=0)
    settled, open_ = [trajectory(answer="7", calls=1)] * 2, [trajectory(answer="7")] * 2
    pool = [labelled(f"p{i}").task for i in range(6)]
    freeze_probe(run.state(), pool, [open_, settled, settled, open_, settled, settled])
    assert [x.task.id for x in run.frozen] == ["p1", "p2", "p4"]
    rows = run.read_table("probe/tasks.parquet")
    assert [(row["task_id"], row["question"], row["label"]) for row in rows] == [
        (x.task.id, x.task.question, "7") for x in run.frozen
    ]
