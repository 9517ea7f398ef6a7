"""Where the time of a phase goes, over all the processes that have worked on it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from coevolve.methods.base import Spent
from coevolve.rollout.base import RolloutCost, Rollouts
from coevolve.store.folder import RunFolder

Times = Mapping[str, int | float]


@dataclass(frozen=True, slots=True)
class _Reading:
    wall: float
    cpu: float
    store: float
    cost: RolloutCost
    train: float
    grade: float
    tokens_trained: int


class PhaseClock:
    """Reads all that is counted in a run; the difference of two readings is a phase.

    A phase's time begins where that of the phase before ends, so that all of them together leave out nothing: what it
    takes to close a phase counts for the next one.
    """

    def __init__(self, folder: RunFolder, rollouts: Rollouts, spent: Spent) -> None:
        self._folder, self._rollouts, self._spent = folder, rollouts, spent
        self._earlier: Times = {}
        self._begin = self._read()

    def begin(self, earlier: Times) -> None:
        """A phase begins, on which earlier processes have spent so much."""
        self._earlier = earlier

    def times(self) -> dict[str, int | float]:
        """What the phase has taken so far, as in timings.jsonl; the seconds of rollouts are the mean over workers."""
        return _together(self._earlier, _difference(self._begin, self._read()))

    def end(self) -> dict[str, int | float]:
        """What the phase has taken in all."""
        now = self._read()
        whole = _together(self._earlier, _difference(self._begin, now))
        self._begin, self._earlier = now, {}
        return whole

    def _read(self) -> _Reading:
        return _Reading(
            wall=time.perf_counter(),
            cpu=time.process_time(),
            store=self._folder.store_s,
            cost=self._rollouts.cost,
            train=self._spent.train_s,
            grade=self._spent.grade_s,
            tokens_trained=self._spent.tokens_trained,
        )


def _difference(a: _Reading, b: _Reading) -> dict[str, int | float]:
    """Where the time between two readings went; the parts of the wall time add up to it."""
    workers = max(b.cost.workers, 1)
    wall = b.wall - a.wall
    parts = {
        "sample_s": (b.cost.sample_s - a.cost.sample_s) / workers,
        "train_s": b.train - a.train,
        "tool_s": (b.cost.tool_s - a.cost.tool_s) / workers,
        "grade_s": b.grade - a.grade,
        "store_s": b.store - a.store,
    }
    return {
        "wall_s": wall,
        "cpu_s": b.cpu - a.cpu + b.cost.cpu_s - a.cost.cpu_s,
        **parts,
        "other_s": max(0.0, wall - sum(parts.values())),
        "tokens_sampled": b.cost.sampled_tokens - a.cost.sampled_tokens,
        "tokens_trained": b.tokens_trained - a.tokens_trained,
        "tool_calls": b.cost.tool_calls - a.cost.tool_calls,
        "answers_lost": b.cost.answers_lost - a.cost.answers_lost,
        **_losses(a, b),
    }


def _losses(a: _Reading, b: _Reading) -> dict[str, int]:
    """What was lost and made up for, where anything was."""
    counts = {"worker_restarts": b.cost.restarts - a.cost.restarts}
    return {name: count for name, count in counts.items() if count}


def _together(a: Times, b: Times) -> dict[str, int | float]:
    return {key: a.get(key, 0) + b.get(key, 0) for key in dict.fromkeys((*b, *a))}
