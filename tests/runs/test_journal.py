"""Batches of trajectories that are kept: asked for in parts, given back exactly, and known by what decides them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coevolve.config import RunSection
from coevolve.engine.base import Arrays, Sampling
from coevolve.methods.base import Spent
from coevolve.methods.config import CoevolutionConfig
from coevolve.rollout.asking import solve, write
from coevolve.rollout.base import Episode, RolloutCost, RolloutSettings, Seat, Snapshot
from coevolve.rollout.environments import WritingSpec
from coevolve.runs.clock import PhaseClock
from coevolve.runs.journal import Journal
from coevolve.runs.stopping import StopRequest
from coevolve.store.folder import RunFolder
from coevolve.types import PROPOSER, Origin, StopReason, Task, ToolCall, Trajectory
from coevolve.worlds.miniature.learner import MiniatureContract

POLICY = Snapshot("solver-1", 2, Arrays({}))
TASKS = [Task(f"t{i}", (f"What is {i}?",), "sum", Origin("test", PROPOSER, 1)) for i in range(7)]


@dataclass
class Drawn:
    """Trajectories that depend on the policy and the episode alone, as those of real rollouts do."""

    lost: bool = False
    asked: list[list[str]] = field(default_factory=list)  # ids of the tasks
    cost: RolloutCost = RolloutCost()  # noqa: RUF009, frozen
    settings: RolloutSettings = RolloutSettings.of(CoevolutionConfig(), MiniatureContract())  # noqa: RUF009, frozen

    def play(self, policies: Mapping[str, Snapshot], episodes: Sequence[Episode]) -> list[tuple[Trajectory, ...]]:
        self.asked.append(list(dict.fromkeys(e.id for e in episodes)))
        return [
            tuple(self._one(policies[seat.agent], e, n, seat.agent) for n, seat in enumerate(e.seats)) for e in episodes
        ]

    def _one(self, policy: Snapshot, episode: Episode, seat: int, agent: str) -> Trajectory:
        draw = np.random.default_rng((episode.seed, seat))
        n = int(draw.integers(0, 9))
        return Trajectory(
            task_id=episode.id,
            sample=episode.sample,
            prompt=draw.integers(0, 2**31 - 1, 3, np.int32),
            tokens=draw.integers(0, 2**31 - 1, n, np.int32),
            mask=draw.random(n) < 0.5,
            logprobs=draw.standard_normal(n).astype(np.float32) * np.float32(1e-3),
            text=f"ö\n\0 {episode.seed}",
            tool_calls=(ToolCall("print(1)", "1\r\n", "ok"),) * (n % 3),
            answer=None if n % 2 else str(n),
            stop=StopReason.INFRASTRUCTURE if self.lost and n == 4 else StopReason.EOS,
            policy=policy.name,
            policy_versions=(policy.version,),
            contract="c",
            agent=agent,
            seat=seat,
            reward=None if n % 3 else n / 7,
        )

    def close(self) -> None: ...


def folder_of(path: Path, size: int) -> RunFolder:
    if (path / "manifest.json").exists():
        folder = RunFolder.open(path)
    else:
        folder = RunFolder.create(path, CoevolutionConfig(run=RunSection(save_tasks=size)))
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
    texts, answers = write(journal, POLICY, 7, seed=5), solve(journal, POLICY, TASKS, 3, seed=6)
    plain = Drawn()
    assert all(map(same, texts, write(plain, POLICY, 7, seed=5)))
    whole = [x for group in solve(plain, POLICY, TASKS, 3, seed=6) for x in group]
    assert [len(group) for group in answers] == [3] * 7
    folder.close()

    again = Drawn()
    folder = folder_of(tmp_path, size)
    folder.records.verify_all()
    journal = journal_of(again, folder)
    assert all(map(same, texts, write(journal, POLICY, 7, seed=5)))
    found = [x for group in solve(journal, POLICY, TASKS, 3, seed=6) for x in group]
    assert all(map(same, found, whole))
    assert again.asked == []
    names = [f"q{i}" for i in range(7)], [f"t{i}" for i in range(7)]
    assert first.asked == [ids[at : at + size] for ids in names for at in range(0, 7, size)]


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
        {"tasks": [replace(TASKS[0], turns=("What is 1?",)), *TASKS[1:]]},
        {"tasks": [replace(TASKS[0], turns=(*TASKS[0].turns, "And then?")), *TASKS[1:]]},
    ]
    for number, way in enumerate(ways, 1):
        asked = {"policy": POLICY, "tasks": TASKS, "samples": 1, "seed": 1} | way
        policy, tasks, samples = asked.pop("policy"), asked.pop("tasks"), asked.pop("samples")
        for _ in range(2):
            solve(journal, policy, tasks, samples, **asked)
        assert len(inner.asked) == number, way


def test_a_match_is_kept_with_all_of_its_seats(tmp_path: Path) -> None:
    seats = (Seat("proposer", "<question>"), Seat("solver", None))
    place = WritingSpec("solver")
    episodes = [Episode(f"m{i // 2}", i % 2, seats, place, Sampling(), seed=i) for i in range(6)]
    policies = {"proposer": POLICY, "solver": Snapshot("solver-2", 0, Arrays({}))}
    first, again = Drawn(), Drawn()
    folder = folder_of(tmp_path, 2)
    made = journal_of(first, folder).play(policies, episodes)
    assert first.asked == [["m0", "m1"], ["m2"]]
    found = journal_of(again, folder).play(policies, episodes)
    assert [[x.policy for x in one] for one in found] == [["solver-1", "solver-2"]] * 6
    assert all(same(a, b) for one, other in zip(found, made, strict=True) for a, b in zip(one, other, strict=True))
    journal_of(again, folder).play(policies | {"solver": POLICY}, episodes[:4])
    assert again.asked == [["m0", "m1"]]


def test_a_batch_of_which_the_sandbox_lost_answers_is_asked_for_again(tmp_path: Path) -> None:
    inner = Drawn(lost=True)
    journal = journal_of(inner, folder_of(tmp_path, 100))
    lost = solve(journal, POLICY, TASKS, 8, seed=1)
    assert any(x.lost for group in lost for x in group)
    inner.lost = False
    assert not any(x.lost for group in solve(journal, POLICY, TASKS, 8, seed=1) for x in group)
    assert len(inner.asked) == 2


def test_kept_batches_are_gone_when_the_phase_is_finished(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 2)
    write(journal_of(Drawn(), folder), POLICY, 5, seed=1)
    assert len(list((tmp_path / "partial").iterdir())) == 3
    folder.finish("iteration-1/pool", [])
    assert not (tmp_path / "partial").exists()
    assert folder.records.cursor is None
