"""A real run, killed at every boundary and at a hundred random instants, ends with the bytes of an unbroken one.

Every life of a run is a process of its own, forked from the one that has imported everything (``cli_server.py``).
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.store import manifest

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]

# Two steps in every training, and several batches of trajectories in every other phase.
SMALL = ("iterations=1", "proposer.steps=2", "run.save_tasks=3", "proposer.vocabulary_mask=0.1")
OPERATIONS, MOMENTS = 70, 40  # kills at random operations on the disk, and at random times
OF_OTHERS = {".lock", "timings.jsonl", "manifest.json", "manifest.copy.json", "config.yaml"}  # clock, folder, process

pytestmark = pytest.mark.slow


def contents(run: Path) -> dict[str, str]:
    """Digests of every file in a run folder that may not depend on the clock, on its folder or on its past."""
    others = {"report", "provenance"}  # folders of the same kind
    files = [f for f in run.rglob("*") if f.is_file() and f.name not in OF_OTHERS and not others & set(f.parts)]
    return {f.relative_to(run).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)}


def phases_of(run: Path) -> list[str]:
    return [phase.name for phase in manifest.read(run).phases]


class Lives:
    """A run that is killed and taken up until it is finished, again and again in new folders."""

    def __init__(self, cli: Cli, tiny: Tiny, place: Path, *overrides: str) -> None:
        self._cli, self._tiny, self._place, self._overrides = cli, tiny, place, overrides
        self.kills, self._number = 0, 0
        self.finished: list[Path] = []

    @property
    def run(self) -> Path:
        return self._place / f"run-{self._number}"

    def live(self, **how: object) -> int:
        """One process; returns its exit code."""
        begun = (self.run / manifest.NAME).exists()
        command = ["resume", str(self.run), "--quiet"] if begun else self._tiny(self.run, *self._overrides)
        ended = self._cli(*command, **how)
        assert ended.code in (0, -9), ended.stderr
        assert not ended.left
        self.kills += ended.code == -9
        if ended.code == 0:
            self.finished.append(self.run)
            self._number += 1
        return int(ended.code)

    def to_the_end(self) -> None:
        while (self.run / manifest.NAME).exists():
            self.live()

    def all_equal(self, unbroken: Path) -> None:
        expected = contents(unbroken)
        for run in self.finished:
            assert contents(run) == expected, run
            assert manifest.read(run).phases[-1].files == manifest.read(unbroken).phases[-1].files


@pytest.fixture(scope="module")
def unbroken(cli: Cli, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run that nothing happened to, and the seconds that it took."""
    path, begin = tmp_path_factory.mktemp("unbroken") / "run", time.monotonic()
    ended = cli(*tiny(path, *SMALL))
    assert ended.code == 0, ended.stderr
    return path, time.monotonic() - begin


def test_killed_at_every_boundary_and_at_every_save_point(
    cli: Cli, tiny: Tiny, unbroken: tuple[Path, float], tmp_path: Path
) -> None:
    lives = Lives(cli, tiny, tmp_path, *SMALL)
    kinds = {"evaluate": "save_batch", "pool": "save_batch", "curriculum": "save_point", "executor": "save_point"}
    for phase in phases_of(unbroken[0]):
        kept = kinds[phase.partition("/")[2]]
        instants = [("begin", "after")]
        instants += [(kept, when) for when in ("before", "after", "before", "after")]
        if kept == "save_point":
            instants += [("save_folder", when) for when in ("before", "within", "after")]
            instants[2:2] = [("save_point", "within")]
        instants += [("log_timing", "after"), ("finish", "before"), ("finish", "after")]
        for method, when in instants:
            fault = {"method": method, "phase": None if method == "begin" else phase, "when": when, "kind": "kill"}
            assert lives.live(fault=fault) == -9, (phase, method, when)
            assert phase in phases_of(lives.run) or method != "finish" or when == "before"
    lives.to_the_end()
    lives.all_equal(unbroken[0])


def test_killed_at_random_operations_on_the_disk(
    cli: Cli, tiny: Tiny, unbroken: tuple[Path, float], tmp_path: Path
) -> None:
    draw = random.Random(1)
    lives = Lives(cli, tiny, tmp_path, *SMALL)
    while lives.kills < OPERATIONS:
        lives.live(kill_at={"operation": draw.randint(1, 120), "half": draw.random() < 0.5})
    lives.to_the_end()
    lives.all_equal(unbroken[0])


def test_killed_at_random_times(cli: Cli, tiny: Tiny, unbroken: tuple[Path, float], tmp_path: Path) -> None:
    draw = random.Random(2)
    lives = Lives(cli, tiny, tmp_path, *SMALL)
    longest = unbroken[1]
    while lives.kills < MOMENTS:  # some lives reach the end, most do not, however busy the machine is
        longest *= 0.7 if lives.live(kill_after=draw.uniform(0.05, longest)) == 0 else 1.04
    lives.to_the_end()
    lives.all_equal(unbroken[0])


@pytest.mark.parametrize("several", [("engine.workers=2",), ("engine.backend=fsdp", "engine.gpus=2")])
def test_killed_with_several_processes(cli: Cli, tiny: Tiny, tmp_path: Path, several: tuple[str, ...]) -> None:
    two = (*several, *SMALL)
    whole = tmp_path / "whole"
    assert cli(*tiny(whole, *two)).code == 0
    lives = Lives(cli, tiny, tmp_path, *two)
    for method, phase, when in (
        ("save_batch", "iteration-0/evaluate", "after"),
        ("save_point", "iteration-1/curriculum", "after"),
        ("save_batch", "iteration-1/pool", "before"),
        ("save_point", "iteration-1/executor", "before"),
    ):
        fault = {"method": method, "phase": phase, "when": when, "kind": "kill"}
        command_code = lives.live(fault=fault)
        assert command_code == -9, (method, phase)
    lives.to_the_end()
    lives.all_equal(whole)
