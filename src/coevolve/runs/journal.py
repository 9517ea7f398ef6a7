"""Rollouts whose finished batches are kept in the run folder, so that a phase that is taken up need not repeat them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from coevolve.rollout.base import RolloutCost, Rollouts, Snapshot
from coevolve.rollout.policy import Policy
from coevolve.runs.clock import PhaseClock
from coevolve.runs.stopping import StopRequest
from coevolve.store.folder import RunFolder
from coevolve.store.trajectories import journal_rows, trajectories_from_rows
from coevolve.types import Task, Trajectory


class Journal:
    """Implements :class:`coevolve.rollout.base.Rollouts` over another, for phases that are done again from the start.

    What is asked for is divided into batches of ``run.save_tasks`` tasks, always, so that the bytes do not depend on
    whether a phase was broken. A batch is known by what decides it: a phase that is done again asks for the same ones.
    One of which the sandbox lost answers is not kept: asked again, it may come out whole.
    """

    def __init__(self, inner: Rollouts, folder: RunFolder, clock: PhaseClock, stop: StopRequest) -> None:
        self._inner, self._folder, self._clock, self._stop = inner, folder, clock, stop
        self._size = folder.config.run.save_tasks
        self.contract = inner.contract

    @property
    def cost(self) -> RolloutCost:
        """What rollouts have cost in this process; batches of an earlier one are in the phase's times."""
        return self._inner.cost

    def solve(
        self,
        policy: Snapshot,
        tasks: Sequence[Task],
        samples: int,
        *,
        seed: int,
        greedy: bool = False,
        opening: str = "",
        first: int = 0,
    ) -> list[tuple[Trajectory, ...]]:
        """``samples`` answers to each task; see the protocol."""
        out: list[tuple[Trajectory, ...]] = []
        for begin in range(0, len(tasks), self._size):
            part, at = tasks[begin : begin + self._size], first + begin

            def make(part: Sequence[Task] = part, at: int = at) -> list[Trajectory]:
                groups = self._inner.solve(policy, part, samples, seed=seed, greedy=greedy, opening=opening, first=at)
                return [x for group in groups for x in group]

            asked = [[task.id, *task.turns] for task in part]
            flat = self._batch(_name("answers", policy, seed, at, asked, samples, greedy, opening), make)
            out += [tuple(flat[i : i + samples]) for i in range(0, len(flat), samples)]
        return out

    def write(self, policy: Snapshot, n: int, *, seed: int, first: int = 0) -> list[Trajectory]:
        """``n`` texts of the proposer; see the protocol."""
        out: list[Trajectory] = []
        for begin in range(0, n, self._size):
            count, at = min(self._size, n - begin), first + begin

            def make(count: int = count, at: int = at) -> list[Trajectory]:
                return self._inner.write(policy, count, seed=seed, first=at)

            out += self._batch(_name("texts", policy, seed, at, count), make)
        return out

    def release_memory(self) -> None:
        """Give memory back; see the protocol."""
        self._inner.release_memory()

    def close(self) -> None:
        """End all workers and their sandboxes."""
        self._inner.close()

    def _batch(self, name: str, make: Callable[[], list[Trajectory]]) -> list[Trajectory]:
        """The batch of this name: kept by an earlier process, or made and kept now."""
        kept = self._folder.kept_rows(name)
        if kept is not None:
            return trajectories_from_rows(kept)
        made = make()
        if not any(x.lost for x in made):
            self._folder.keep_rows(name, journal_rows(made), self._clock.times)
        self._stop.check()
        return made


def _name(kind: str, policy: Snapshot, *asked: object) -> str:
    """The name of a batch: its kind, and 16 hex digits over all that decides it within a phase."""
    text = json.dumps([policy.name, policy.version, *asked])
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class RunSavePoints:
    """Implements :class:`coevolve.methods.base.SavePoints` on a run folder: one folder, replaced step by step."""

    def __init__(self, folder: RunFolder, clock: PhaseClock, stop: StopRequest) -> None:
        self._folder, self._clock, self._stop = folder, clock, stop

    def load(self, policy: Policy) -> int:
        """Bring the policy to where the phase was; returns the steps that are finished, 0 for a new phase."""
        cursor = self._folder.cursor
        if cursor is None:
            return 0
        (folder,) = {Path(name).parent for name in cursor.files}
        policy.load_state(self._folder.path / folder, cursor.memory)
        return cursor.step

    def save(self, policy: Policy, step: int) -> None:
        """Save the policy when enough steps are done since the last time, or when the run is to stop."""
        if step % self._folder.config.run.save_every == 0 or self._stop.asked:
            self._folder.save_point(step, policy.save_state, policy.extra_state(), self._clock.times)
        self._stop.check()
