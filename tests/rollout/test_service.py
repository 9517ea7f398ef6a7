"""Rollouts of the real base model with the real sandbox: reproducible, and clear when a worker fails."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from coevolve.config import Config
from coevolve.engine.base import Arrays
from coevolve.errors import EngineError, ModelError, SandboxInfraError
from coevolve.rollout.asking import solve, write
from coevolve.rollout.base import RolloutSettings, Snapshot
from coevolve.rollout.codec import Codec
from coevolve.rollout.service import LocalRollouts, _check_losses
from coevolve.types import SOLVER, Origin, StopReason, Task, Trajectory
from coevolve.worlds.miniature.learner import ASSETS, MiniatureContract

CHAINS = (
    "Let a = 43 * 80. Find a.",
    "Let a = 12 + 30. Let b = the digit sum of a. Find b.",
    "Let a = 7 xor 12. Find a.",
    "Let a = 90 mod 7. Let b = a * 11. Find b.",
)
TASKS = [Task(f"t{i}", (text,), "chain", Origin("test", SOLVER, 0)) for i, text in enumerate(CHAINS)]
OPENING = "a:\n```python\n"


def with_workers(config: Config, workers: int) -> Config:
    return config.model_copy(update={"engine": config.engine.model_copy(update={"workers": workers})})


def opened(config: Config, model: Path = ASSETS) -> LocalRollouts:
    return LocalRollouts(RolloutSettings.of(config, MiniatureContract()), model)


@pytest.fixture(scope="module")
def one(nano: Config) -> Iterator[LocalRollouts]:
    rollouts = opened(nano)
    yield rollouts
    rollouts.close()


@pytest.fixture(scope="module")
def two(nano: Config) -> Iterator[LocalRollouts]:
    rollouts = opened(with_workers(nano, 2))
    yield rollouts
    rollouts.close()


def flat(groups: list[tuple[Trajectory, ...]]) -> list[Trajectory]:
    return [t for group in groups for t in group]


def assert_same(a: list[Trajectory], b: list[Trajectory]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.tokens, y.tokens)
        np.testing.assert_array_equal(x.logprobs, y.logprobs)
        np.testing.assert_array_equal(x.mask, y.mask)
        assert (x.task_id, x.sample, x.stop, x.answer, x.tool_calls) == (
            y.task_id,
            y.sample,
            y.stop,
            y.answer,
            y.tool_calls,
        )


@pytest.mark.parametrize("workers", ["one", "two"])
def test_equal_seeds_give_equal_trajectories(workers: str, base: Snapshot, request: pytest.FixtureRequest) -> None:
    rollouts: LocalRollouts = request.getfixturevalue(workers)
    first = solve(rollouts, base, TASKS, 3, seed=5)
    assert [[t.task_id for t in group] for group in first] == [[task.id] * 3 for task in TASKS]
    assert [t.sample for t in first[0]] == [0, 1, 2]
    assert_same(flat(first), flat(solve(rollouts, base, TASKS, 3, seed=5)))
    other = flat(solve(rollouts, base, TASKS, 3, seed=6))
    assert any(a.text != b.text for a, b in zip(flat(first), other, strict=True))
    assert_same(write(rollouts, base, 6, seed=1), write(rollouts, base, 6, seed=1))


def test_samples_of_one_task_differ(one: LocalRollouts, base: Snapshot) -> None:
    texts = [t.text for t in solve(one, base, TASKS[:1], 12, seed=1)[0]]
    assert len(set(texts)) > 4
    assert len({t.text for t in solve(one, base, TASKS[:1], 3, seed=1, greedy=True)[0]}) == 1


def test_a_tool_call_of_the_real_model_is_really_executed(one: LocalRollouts, base: Snapshot) -> None:
    answers = flat(solve(one, base, TASKS, 4, seed=2, opening=OPENING))
    called = [t for t in answers if t.tool_calls]
    assert called
    for t in called:
        assert t.text.startswith(OPENING)
        assert not t.mask[: len(Codec(ASSETS).encode(OPENING))].any()
        for call in t.tool_calls:
            assert f"{call.code}\n```\n```output\n{call.observation}\n```\n" in t.text
        observed = "".join(Codec(ASSETS).decode(t.tokens[~t.mask].astype(np.int32)).split(OPENING)[1:])
        assert observed == "".join(f"{call.observation}\n```\n" for call in t.tool_calls[: observed.count("```")])
    assert any(call.observation == str(43 * 80) for t in answers for call in t.tool_calls)


def test_every_trajectory_keeps_the_contract(one: LocalRollouts, nano: Config, base: Snapshot) -> None:
    for t in flat(solve(one, base, TASKS, 8, seed=3)):
        assert len(t.tokens) == len(t.mask) == len(t.logprobs) <= nano.sampling.max_tokens
        assert len(t.tool_calls) <= nano.tool.max_turns
        assert t.answer is None or t.stop is StopReason.EOS
        assert (t.logprobs[t.mask] <= 0).all()
        assert (t.contract, t.agent, t.seat, t.reward) == (one.settings.hash, SOLVER, 0, None)


def test_a_change_of_weights_reaches_the_workers(two: LocalRollouts, base: Snapshot) -> None:
    before = flat(solve(two, base, TASKS, 2, seed=7))
    changed = Snapshot(
        "changed", 1, Arrays({k: v * np.float32(0.5) for k, v in load_file(ASSETS / "model.safetensors").items()})
    )
    assert any(a.text != b.text for a, b in zip(before, flat(solve(two, changed, TASKS, 2, seed=7)), strict=True))
    assert_same(before, flat(solve(two, base, TASKS, 2, seed=7)))


def test_there_may_be_more_workers_than_tasks(two: LocalRollouts, base: Snapshot) -> None:
    ((first, second),) = solve(two, base, TASKS[:1], 2, seed=1)
    assert (first.task_id, first.sample, second.sample) == ("t0", 0, 1)


def test_no_tasks_give_no_trajectories(one: LocalRollouts, base: Snapshot) -> None:
    assert solve(one, base, [], 3, seed=0) == []
    assert write(one, base, 0, seed=0) == []


@pytest.mark.parametrize("workers", ["one", "two"])
def test_a_fault_in_a_worker_reaches_the_caller_and_the_workers_live_on(
    workers: str, base: Snapshot, request: pytest.FixtureRequest
) -> None:
    rollouts: LocalRollouts = request.getfixturevalue(workers)
    expected = flat(solve(rollouts, base, TASKS, 1, seed=4))
    with pytest.raises(EngineError, match="do not fit"):
        solve(rollouts, Snapshot("wrong", 1, Arrays({"nothing": np.zeros(3, np.float32)})), TASKS, 1, seed=4)
    assert_same(expected, flat(solve(rollouts, base, TASKS, 1, seed=4)))


def test_a_worker_that_cannot_be_built_says_why(nano: Config, tmp_path: Path) -> None:
    shutil.copytree(ASSETS, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"no weights")
    rollouts = opened(with_workers(nano, 2), tmp_path / "model")
    try:
        with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
            _ = rollouts.layers
    finally:
        rollouts.close()


def test_a_killed_worker_is_started_again_and_makes_the_same_trajectories(
    two: LocalRollouts, base: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coevolve.rollout.service._REST_S", 0.01)
    expected, before = flat(solve(two, base, TASKS, 2, seed=4)), two.cost
    os.kill(two.processes[0], signal.SIGKILL)  # between two calls
    os.kill(two.processes[1], signal.SIGSTOP)  # with its episodes in hand
    threading.Timer(0.3, os.kill, (two.processes[1], signal.SIGKILL)).start()
    assert_same(expected, flat(solve(two, base, TASKS, 2, seed=4)))
    assert two.cost.restarts == before.restarts + 2
    assert all("exit code -9" in sentence for sentence in two.cost.told[len(before.told) :])
    assert_same(expected, flat(solve(two, base, TASKS, 2, seed=4)))
    assert two.cost.restarts == before.restarts + 2


def test_a_worker_that_dies_again_and_again_is_named_and_nothing_stays_behind(
    nano: Config, base: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coevolve.rollout.service._RESTARTS", 0)
    rollouts = opened(with_workers(nano, 2))
    solve(rollouts, base, TASKS, 1, seed=4)
    processes = [p for remote in rollouts._remote for p in descendants(remote._process.pid)]
    assert len(processes) > 2, "each worker has its sandbox"
    group = "".join(Path(f"/proc/{p}/status").read_text() for p in processes[:1])
    assert int(group.partition("SigBlk:")[2].split()[0], 16) >> (signal.SIGINT - 1) & 1, "Ctrl-C is not for workers"
    os.kill(rollouts._remote[1]._process.pid or 0, signal.SIGKILL)
    with pytest.raises(EngineError, match="a rollout worker ended unexpectedly") as caught:
        solve(rollouts, base, TASKS, 1, seed=4)
    assert "out-of-memory" in caught.value.fix
    rollouts.close()
    assert gone(processes)


def test_nothing_stays_behind_after_close(nano: Config, base: Snapshot) -> None:
    before = set(descendants(os.getpid()))
    rollouts = opened(nano)
    solve(rollouts, base, TASKS, 1, seed=4)
    mine = [p for p in descendants(os.getpid()) if p not in before]
    assert mine
    rollouts.close()
    assert gone(mine)


def descendants(pid: int | None) -> list[int]:
    """The process and everything below it, from /proc."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has just ended
            parents.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid or 0]
    while queue:
        found.append(queue.pop())
        queue += parents.get(found[-1], [])
    return found


def gone(pids: list[int]) -> bool:
    """Whether all of these end within a few seconds; a process that waits to be reaped has ended."""
    deadline = time.monotonic() + 5
    while any(alive(p) for p in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_many_answers_lost_to_the_sandbox_stop_the_run() -> None:
    kept = [trajectory_that_ended(StopReason.EOS)] * 38
    lost = trajectory_that_ended(StopReason.INFRASTRUCTURE)
    _check_losses([*kept, lost, lost])
    with pytest.raises(SandboxInfraError, match="lost 3 of 41 answers"):
        _check_losses([*kept, lost, lost, lost])


def trajectory_that_ended(stop: StopReason) -> Trajectory:
    none = np.zeros(0)
    return Trajectory(
        "t", 0, none.astype(np.int32), none.astype(np.int32), none.astype(bool), none.astype(np.float32),
        "", (), None, stop, "p", 0, "c",
    )  # fmt: skip


@pytest.mark.parametrize("place", ["forward", "reserve"])
def test_a_worker_without_memory_begins_again_with_fewer_rows(
    place: str, nano: Config, base: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from coevolve.engine.local.growing import GrowingPasses, SlotCache

    owner = SlotCache if place == "reserve" else GrowingPasses
    real = getattr(owner, place)

    def limited(self: object, first: np.ndarray | int, *others: Any) -> object:
        rows = first if isinstance(first, int) else len(others[0])
        if rows > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return real(self, first, *others)

    few = nano.model_copy(update={"engine": nano.engine.model_copy(update={"max_rows": 3})})
    expected, starved = opened(few), opened(nano)
    try:
        wanted = flat(solve(expected, base, TASKS[:3], 2, seed=4))
        with monkeypatch.context() as patch:
            patch.setattr(owner, place, limited)
            found = flat(solve(starved, base, TASKS[:3], 2, seed=4))
        assert starved.cost.shortages == 1
        assert_same(found, wanted)
        again = flat(solve(starved, base, TASKS[:3], 2, seed=4))
        assert_same(again, wanted)  # the smaller number stays
    finally:
        expected.close()
        starved.close()


def test_memory_for_less_than_one_sequence_is_an_error(
    nano: Config, base: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from coevolve.engine.local.growing import GrowingPasses

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    rollouts = opened(nano)
    try:
        monkeypatch.setattr(GrowingPasses, "forward", full)
        with pytest.raises(EngineError, match="a single sequence"):
            solve(rollouts, base, TASKS, 2, seed=4)
    finally:
        rollouts.close()
