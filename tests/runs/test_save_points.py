"""A phase that is taken up: its log, its files and its seconds are those up to the last save point."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from coevolve.errors import RunError
from coevolve.methods.base import Spent
from coevolve.methods.config import CoevolutionConfig
from coevolve.rollout.base import RolloutCost
from coevolve.rollout.policy import Policy
from coevolve.runs.clock import PhaseClock
from coevolve.runs.journal import RunSavePoints
from coevolve.runs.stopping import StopRequest
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords

PHASE = "iteration-1/curriculum"


def point(folder: RunFolder, step: int, content: bytes = b"w") -> None:
    folder.log({"event": "curriculum_step", "step": step})
    folder.save_point(
        step,
        lambda folder: (folder / "state").write_bytes(content) and None,
        {"version": step},
        lambda: {"wall_s": step},
    )


def test_what_came_after_the_save_point_is_forgotten(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    folder.begin(PHASE)
    point(folder, 1)
    point(folder, 2)
    folder.log({"event": "curriculum_step", "step": 3})
    (tmp_path / "partial/.step-3.partial").mkdir()
    (tmp_path / "partial/.step-3.partial/state").write_bytes(b"half")
    folder.close()

    again = RunFolder.open(tmp_path)
    again.records.verify_all()
    again.begin(PHASE)
    cursor = again.records.cursor
    assert cursor is not None
    assert (cursor.step, cursor.memory, cursor.times) == (2, {"version": 2}, {"wall_s": 2})
    assert [row["step"] for row in again.records.metrics()] == [1, 2]
    assert [file.name for file in (tmp_path / "partial").iterdir()] == ["step-2"]
    point(again, 3)
    again.finish(PHASE, [])
    assert again.records.cursor is None
    assert not (tmp_path / "partial").exists()
    again.records.verify_all()
    assert [row["step"] for row in again.records.metrics()] == [1, 2, 3]


def test_a_save_point_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    folder.begin(PHASE)
    point(folder, 1)

    def full(folder: Path) -> None:
        (folder / "state").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="disk is full") as caught:
        folder.save_point(2, full, {}, dict)
    assert caught.value.where.endswith("step-2")
    folder.close()
    again = RunFolder.open(tmp_path)
    again.records.verify_all()
    assert again.records.cursor is not None
    assert again.records.cursor.step == 1
    assert [file.name for file in (tmp_path / "partial").iterdir()] == ["step-1"]


def test_a_changed_save_point_or_line_is_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    folder.begin(PHASE)
    point(folder, 1, b"weights")
    folder.close()
    file, log = tmp_path / "partial/step-1/state", tmp_path / "metrics.jsonl"
    file.write_bytes(b"Weights")
    with pytest.raises(RunError, match="was changed") as caught:
        RunRecords.open(tmp_path).verify_all()
    assert caught.value.where == str(file)
    assert f"coevolve doctor {tmp_path} --repair" in caught.value.fix
    file.write_bytes(b"weights")
    log.write_bytes(log.read_bytes().replace(b":1", b":2"))
    with pytest.raises(RunError, match=r"what iteration-.* was changed or cut off") as caught:
        RunRecords.open(tmp_path).verify_all()
    assert caught.value.where == str(log)
    log.write_bytes(log.read_bytes()[:-3])
    with pytest.raises(RunError, match="bytes"):
        RunRecords.open(tmp_path)


def test_another_phase_cannot_begin_while_one_is_in_progress(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    folder.begin(PHASE)
    point(folder, 1)
    with pytest.raises(RunError, match="in progress"):
        folder.begin("iteration-1/pool")


class Cost:
    """Rollouts that have cost something."""

    contract = "c"
    cost = RolloutCost(workers=2)


def test_the_seconds_of_a_phase_add_up_over_processes_and_leave_nothing_out(tmp_path: Path) -> None:
    folder, rollouts, spent = RunFolder.create(tmp_path, CoevolutionConfig()), Cost(), Spent()
    begin = time.perf_counter()
    clock = PhaseClock(folder, rollouts, spent)  # type: ignore[arg-type]
    clock.begin({"wall_s": 100.0, "sample_s": 40.0, "tokens_sampled": 7})
    rollouts.cost = RolloutCost(sampled_tokens=5, sample_s=0.02, workers=2)
    spent.train_s += 0.01
    with folder.storing():
        time.sleep(0.02)
        with folder.storing():
            time.sleep(0.02)
    time.sleep(0.03)
    first = clock.end()
    assert first["tokens_sampled"] == 12
    assert first["sample_s"] == pytest.approx(40.01)
    assert first["train_s"] == pytest.approx(0.01)
    assert 0.04 <= first["store_s"] <= first["wall_s"] - 100.0
    time.sleep(0.02)
    clock.begin({})
    second = clock.end()
    whole = time.perf_counter() - begin
    assert second["wall_s"] >= 0.02  # between two phases, too
    assert first["wall_s"] - 100.0 + second["wall_s"] == pytest.approx(whole, rel=0.2)
    parts = ("train_s", "tool_s", "grade_s", "store_s", "other_s", "sample_s")
    assert sum(second[key] for key in parts) == pytest.approx(second["wall_s"])


class Divided:
    """A policy whose engine keeps a folder of its own in every save point."""

    def __init__(self) -> None:
        self.loaded: Path | None = None

    def save_state(self, folder: Path) -> None:
        (folder / "weights").write_bytes(b"w")
        (folder / "optimizer").mkdir()
        (folder / "optimizer" / "part-0").write_bytes(b"m")

    def load_state(self, folder: Path, extra: Mapping[str, object]) -> None:
        self.loaded = folder

    def extra_state(self) -> dict[str, object]:
        return {"version": 1}


def test_a_save_point_with_folders_in_it_is_taken_up(tmp_path: Path) -> None:
    for life in (1, 2):
        folder = RunFolder.open(tmp_path) if life == 2 else RunFolder.create(tmp_path, CoevolutionConfig())
        folder.begin(PHASE)
        clock = PhaseClock(folder, cast(Any, SimpleNamespace(cost=RolloutCost())), Spent())
        points = RunSavePoints(folder, clock, StopRequest())
        policy = Divided()
        assert points.load(cast(Policy, policy)) == life - 1
        assert policy.loaded == (tmp_path / "partial" / "step-1" if life == 2 else None)
        if life == 1:
            points.save(cast(Policy, policy), 1)
        folder.close()
