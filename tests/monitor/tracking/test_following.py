"""A follower logs every line once, over kills, cuts and half-written lines, and keeps how far it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from coevolve.methods.config import CoevolutionConfig
from coevolve.monitor.tracking.base import TrackedRun, Value
from coevolve.monitor.tracking.following import Tail, follow
from coevolve.monitor.tracking.state import TrackerState, read_state, write_state
from coevolve.store.folder import RunFolder


class Memory:
    """A tracker that keeps what it is given, and fails at a step if it is told to."""

    def __init__(self, holds: int | None = None, fails_at: int = -1) -> None:
        self.holds, self.fails_at = holds, fails_at
        self.steps: list[int] = []
        self.status: str | None = None
        self.run: TrackedRun | None = None

    def start(self, run: TrackedRun, after: int) -> int:
        self.run = run
        return after if self.holds is None else self.holds

    def log(self, row: Mapping[str, Value], step: int) -> None:
        if step == self.fails_at:
            raise ConnectionError("the server\nis gone")
        self.steps.append(step)

    def flush(self) -> None: ...

    def finish(self, status: str) -> None:
        self.status = status


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = RunFolder.create(tmp_path / "my-run", CoevolutionConfig(seed=5))
    folder.begin("a")
    for n in range(4):
        folder.log({"event": "curriculum_step", "step": n})
    folder.finish("a", [])
    folder.close()
    return tmp_path / "my-run"


def live(run: Path, tracker: Memory, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One life of the follower's loop: it is told how the run ended before it looks."""
    read, write = os.pipe()
    os.write(write, said.encode())
    os.close(write)
    with os.fdopen(read) as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        follow(run, "memory", tracker, os.getppid())


def test_every_line_is_logged_once_over_several_lives(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Memory(), Memory()
    live(run, first, "interrupted\n", monkeypatch)
    folder = RunFolder.open(run)
    folder.begin("b")
    folder.log({"event": "pool"})
    folder.close()
    live(run, second, "finished\n", monkeypatch)
    assert (first.steps, first.status) == ([0, 1, 2, 3], "interrupted")
    assert (second.steps, second.status) == ([4], "finished")
    assert first.run
    assert second.run
    assert first.run.id == second.run.id
    assert (first.run.name, first.run.project, first.run.online) == ("my-run", "coevolve", False)
    assert first.run.config["seed"] == 5


def test_a_pipe_that_ends_without_a_word_means_killed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Memory()
    live(run, tracker, "", monkeypatch)
    assert tracker.status == "killed"
    assert tracker.steps == [0, 1, 2, 3]


def test_what_the_tracker_already_holds_is_not_logged_again_and_what_it_lost_is(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_state(run, "memory", TrackerState(id="x", step=1))
    knows, forgot = Memory(holds=2), Memory(holds=-1)
    live(run, knows, "finished\n", monkeypatch)
    assert knows.steps == [3]
    live(run, forgot, "finished\n", monkeypatch)
    assert forgot.steps == [0, 1, 2, 3]


def test_a_fault_is_kept_with_the_last_good_step_and_the_next_life_goes_on(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConnectionError):
        live(run, Memory(fails_at=2), "finished\n", monkeypatch)
    kept = read_state(run, "memory")
    assert kept.fault == "ConnectionError: the server"
    assert kept.step == 1
    again = Memory()
    live(run, again, "finished\n", monkeypatch)
    assert again.steps == [2, 3]
    assert read_state(run, "memory").fault is None


def test_lines_that_are_cut_off_and_written_again_are_not_new(tmp_path: Path) -> None:
    log = tmp_path / "log"
    tail = Tail(log, after=-1)
    assert list(tail.new()) == []
    log.write_bytes(b"a\nb\nc\n")
    assert [n for n, _ in tail.new()] == [0, 1, 2]
    log.write_bytes(b"a\n")
    assert list(tail.new()) == []
    log.write_bytes(b"a\nb\nc\nd\n")
    assert list(tail.new()) == [(3, b"d\n")]


def test_a_line_is_taken_only_when_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    tail = Tail(log, after=0)
    log.write_bytes(b"a\nb")
    assert list(tail.new()) == []
    log.write_bytes(b"a\nb!\nc\n")
    assert list(tail.new()) == [(1, b"b!\n"), (2, b"c\n")]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"step": 1, "unknown": 2}'])
def test_a_damaged_state_begins_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "track").mkdir()
    (tmp_path / "track" / "wandb.json").write_bytes(damage)
    assert read_state(tmp_path, "wandb").step == -1
