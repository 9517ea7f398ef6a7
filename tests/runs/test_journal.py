"""Batches of trajectories that are kept: asked for in parts, given back exactly, and known by what decides them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coevolve.config import RunSection
from coevolve.engine.base import Arrays
from coevolve.methods.base import Spent
from coevolve.methods.config import CoevolutionConfig as Config
from coevolve.rollout.base import RolloutCost, Snapshot
from coevolve.runs.clock import PhaseClock
from coevolve.runs.journal import Journal
from coevolve.runs.stopping import StopRequest
from coevolve.store.folder import RunFolder
from coevolve.types import PROPOSER, Origin, StopReason, Task, ToolCall, Trajectory

POLICY = Snapshot("solver-1", 2, Arrays({}))
TASKS = [Task(f"t{i}", (f"What is {i}?",), "sum", Origin("test", PROPOSER, 1)) for i in range(7)]


@dataclass
class Drawn:
    """Answers that depend on seed, place and sample alone, as those of real rollouts do."""

    lost: bool = False
    asked: list[tuple[int, int]] = field(default_factory=list)  # place of the first, number
    contract: str = "c"
    cost: RolloutCost = RolloutCost()  # noqa: RUF009, frozen

    def solve(
        self, policy: Snapshot, tasks: Sequence[Task], samples: int, *, seed: int, first: int = 0, **_: Any
    ) -> list[tuple[Trajectory, ...]]:
        self.asked.append((first, len(tasks)))
        return [
            tuple(self._one(policy, task.id, k, (seed, n, k)) for k in range(samples))
            for n, task in enumerate(tasks, first)
        ]

    def write(self, policy: Snapshot, n: int, *, seed: int, first: int = 0) -> list[Trajectory]:
        self.asked.append((first, n))
        return [self._one(policy, f"q{i}", 0, (seed, i, 0)) for i in range(first, first + n)]

    def _one(self, policy: Snapshot, task: str, sample: int, seed: tuple[int, ...]) -> Trajectory:
        draw = np.random.default_rng(seed)
        n = int(draw.integers(0, 9))
        return Trajectory(
            task_id=task,
            sample=sample,
            prompt=draw.integers(0, 2**31 - 1, 3, np.int32),
            tokens=draw.integers(0, 2**31 - 1, n, np.int32),
            mask=draw.random(n) < 0.5,
            logprobs=draw.standard_normal(n).astype(np.float32) * np.float32(1e-3),
            text=f"ö\n\0 {seed}",
            tool_calls=(ToolCall("print(1)", "1\r\n", "ok"),) * (n % 3),
            answer=None if n % 2 else str(n),
            stop=StopReason.INFRASTRUCTURE if self.lost and n == 4 else StopReason.EOS,
            policy=policy.name,
            policy_versions=(policy.version,),
            contract="c",
        )

    def close(self) -> None: ...


def folder_of(path: Path, size: int) -> RunFolder:
    if (path / "manifest.json").exists():
        folder = RunFolder.open(path, write=True)
    else:
        folder = RunFolder.create(path, Config(run=RunSection(save_tasks=size)))
    folder.begin("iteration-1/pool")
    return folder


def journal_of(inner: Drawn, folder: RunFolder, stop: StopRequest | None = None) -> Journal:
    return Journal(inner, folder, PhaseClock(folder, inner, Spent()), stop or StopRequest())


def same(a: Trajectory, b: Trajectory) -> bool:
    for f in fields(Trajectory):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, np.ndarray):
            if x.dtype != y.dtype or x.tobytes() != y.tobytes():
                return False
        elif x != y or type(x) is not type(y):
            return False
    return True


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_what_was_kept_comes_back_exactly_and_is_not_made_again(size: int, tmp_path: Path) -> None:
    first = Drawn()
    folder = folder_of(tmp_path, size)
    journal = journal_of(first, folder)
    texts, answers = journal.write(POLICY, 7, seed=5), journal.solve(POLICY, TASKS, 3, seed=6)
    plain = Drawn()
    assert all(map(same, texts, plain.write(POLICY, 7, seed=5)))
    whole = [x for group in plain.solve(POLICY, TASKS, 3, seed=6) for x in group]
    assert [len(group) for group in answers] == [3] * 7
    folder.close()

    again = Drawn()
    folder = folder_of(tmp_path, size)
    folder.verify_all()
    journal = journal_of(again, folder)
    assert all(map(same, texts, journal.write(POLICY, 7, seed=5)))
    found = [x for group in journal.solve(POLICY, TASKS, 3, seed=6) for x in group]
    assert all(map(same, found, whole))
    assert again.asked == []
    assert first.asked == [(at, min(size, 7 - at)) for at in range(0, 7, size)] * 2


def test_everything_that_decides_a_batch_is_in_its_name(tmp_path: Path) -> None:
    inner = Drawn()
    journal = journal_of(inner, folder_of(tmp_path, 100))
    ways: list[dict[str, Any]] = [
        {},
        {"policy": Snapshot("solver-2", 2, Arrays({}))},
        {"policy": Snapshot("solver-1", 3, Arrays({}))},
        {"tasks": TASKS[:3]},
        {"tasks": TASKS[::-1]},
        {"samples": 2},
        {"seed": 2},
        {"greedy": True},
        {"opening": "```"},
        {"first": 1},
    ]
    for number, way in enumerate(ways, 1):
        asked = {"policy": POLICY, "tasks": TASKS, "samples": 1, "seed": 1} | way
        policy, tasks, samples = asked.pop("policy"), asked.pop("tasks"), asked.pop("samples")
        for _ in range(2):
            journal.solve(policy, tasks, samples, **asked)
        assert len(inner.asked) == number, way


def test_a_batch_of_which_the_sandbox_lost_answers_is_asked_for_again(tmp_path: Path) -> None:
    inner = Drawn(lost=True)
    journal = journal_of(inner, folder_of(tmp_path, 100))
    lost = journal.solve(POLICY, TASKS, 8, seed=1)
    assert any(x.lost for group in lost for x in group)
    inner.lost = False
    assert not any(x.lost for group in journal.solve(POLICY, TASKS, 8, seed=1) for x in group)
    assert len(inner.asked) == 2


def test_kept_batches_are_gone_when_the_phase_is_finished(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 2)
    journal_of(Drawn(), folder).write(POLICY, 5, seed=1)
    assert len(list((tmp_path / "partial").iterdir())) == 3
    folder.finish("iteration-1/pool", [])
    assert not (tmp_path / "partial").exists()
    assert folder.cursor is None
