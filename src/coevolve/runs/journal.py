"""Rollouts whose finished batches are kept in the run folder, so that a phase that is taken up need not repeat them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path

from coevolve.rollout.base import Episode, RolloutCost, Rollouts, Snapshot
from coevolve.rollout.policy import Policy
from coevolve.runs.clock import PhaseClock
from coevolve.runs.stopping import StopRequest
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords
from coevolve.store.trajectories import journal_rows, trajectories_from_rows
from coevolve.types import Trajectory


class Journal:
    """Implements :class:`coevolve.rollout.base.Rollouts` over another, for phases that are done again from the start.

    Episodes are divided into batches of ``run.save_tasks`` tasks, always, so that the bytes do not depend on
    whether a phase was broken. A batch is known by what decides it: a phase that is done again asks for the same ones.
    One of which the sandbox lost answers is not kept: asked again, it may come out whole.
    """

    def __init__(self, inner: Rollouts, folder: RunFolder, clock: PhaseClock, stop: StopRequest) -> None:
        self._inner, self._folder, self._clock, self._stop = inner, folder, clock, stop
        self._size = folder.config.run.save_tasks
        self.settings = inner.settings

    @property
    def cost(self) -> RolloutCost:
        """What rollouts have cost in this process; batches of an earlier one are in the phase's times."""
        return self._inner.cost

    def play(self, policies: Mapping[str, Snapshot], episodes: Sequence[Episode]) -> list[tuple[Trajectory, ...]]:
        """The trajectories of each episode; see the protocol."""
        groups = [list(group) for _, group in groupby(episodes, key=lambda episode: episode.id)]
        parts = (groups[i : i + self._size] for i in range(0, len(groups), self._size))
        return [seats for part in parts for seats in self._batch(policies, [e for group in part for e in group])]

    def release_memory(self) -> None:
        """Give memory back; see the protocol."""
        self._inner.release_memory()

    def close(self) -> None:
        """End all workers and their sandboxes."""
        self._inner.close()

    def _batch(self, policies: Mapping[str, Snapshot], episodes: list[Episode]) -> Iterable[tuple[Trajectory, ...]]:
        """Whole tasks: kept by an earlier process, or played and kept now."""
        name = _name(policies, episodes)
        kept = self._folder.load_batch(name)
        if kept is not None:
            trajectories = iter(trajectories_from_rows(kept))
            return [tuple(islice(trajectories, len(episode.seats))) for episode in episodes]
        played = self._inner.play(policies, episodes)
        made = [x for seats in played for x in seats]
        if not any(x.lost for x in made):
            self._folder.save_batch(name, journal_rows(made), self._clock.times)
        self._stop.check()
        return played


def _name(policies: Mapping[str, Snapshot], episodes: Sequence[Episode]) -> str:
    """The name of a batch: 16 hex digits over all that decides it within a phase, which is plain data."""
    versions = sorted((agent, policy.name, policy.version) for agent, policy in policies.items())
    return f"episodes-{hashlib.sha256(repr((versions, episodes)).encode()).hexdigest()[:16]}"


class RunSavePoints:
    """Implements :class:`coevolve.methods.base.SavePoints` on a run folder: one folder, replaced step by step."""

    def __init__(
        self,
        folder: RunFolder,
        clock: PhaseClock,
        stop: StopRequest,
        after_first: Callable[[RunRecords], None] = lambda records: None,
    ) -> None:
        """
        Args:
            after_first: called when the first step of a phase is kept; what it raises ends the run there.
        """
        self._folder, self._clock, self._stop, self._after_first = folder, clock, stop, after_first

    def load(self, policy: Policy) -> int:
        """Bring the policy to where the phase was; returns the steps that are finished, 0 for a new phase."""
        cursor = self._folder.records.cursor
        if cursor is None:
            return 0
        # A save point is partial/step-N, and an engine may have folders of its own in it.
        (folder,) = {Path(*Path(name).parts[:2]) for name in cursor.files}
        policy.load_state(self._folder.path / folder, cursor.memory)
        return cursor.step

    def save(self, policy: Policy, step: int) -> None:
        """Save the policy when enough steps are done since the last time, or when the run is to stop."""
        if step % self._folder.config.run.save_every == 0 or self._stop.asked:
            self._folder.save_point(step, policy.save_state, policy.extra_state(), self._clock.times)
        if step == 1:
            self._after_first(self._folder.records)
        self._stop.check()
