"""How long the rest of a run takes: seconds per step of each kind of phase, typical shares until one was timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from coevolve.methods.base import Phase

Clock = Callable[[], float]
PhaseKey = tuple[int, str]  # iteration (0 = the base model) and the phase's name without its prefix


@dataclass(frozen=True, slots=True)
class Stage:
    """A phase to come, as those see it who watch a run."""

    iteration: int  # below 0: of none, so that it has no heading
    name: str
    steps: int = 1
    title: str = ""
    share: float = 1.0  # how long it takes next to the others, until one of its kind has been timed
    unit: str = "step"  # what a step of it is called

    @classmethod
    def of(cls, phase: Phase) -> Stage:
        """What the phase says of itself."""
        report = phase.report
        return cls(phase.iteration, report.name, phase.steps, report.shown, report.share)

    @property
    def key(self) -> PhaseKey:
        """Iteration and name."""
        return self.iteration, self.name


def phase_seconds(
    steps: Mapping[PhaseKey, int], per_step: Mapping[str, float], shares: Mapping[str, float]
) -> dict[PhaseKey, float]:
    """Seconds that each phase takes as a whole; nothing is known before any step was timed.

    Args:
        steps: all phases of the run in order, each with its number of steps (at least 1).
        per_step: measured seconds per step by kind of phase. A kind without one gets its typical share, in
            the unit that the timed phases give.
        shares: typical shares by kind; 1 where there is none.
    """
    timed = [key for key in steps if key[1] in per_step]
    if not timed:
        return {}
    unit = sum(per_step[key[1]] * steps[key] for key in timed) / sum(shares.get(key[1], 1.0) for key in timed)
    return {
        key: per_step[key[1]] * count if key[1] in per_step else unit * shares.get(key[1], 1.0)
        for key, count in steps.items()
    }


def seconds_left(
    steps: Mapping[PhaseKey, int],
    per_step: Mapping[str, float],
    shares: Mapping[str, float],
    current: PhaseKey,
    done: int,
) -> float | None:
    """Seconds from the end of step ``done`` of the current phase to the end of the last; None while unknown.

    Args:
        steps, per_step, shares: see :func:`phase_seconds`.
        current: the phase in progress; those before it are finished.
        done: its finished steps.
    """
    whole = phase_seconds(steps, per_step, shares)
    if not whole:
        return None
    order = list(steps)
    share_left = max(steps[current] - done, 0) / steps[current]
    return whole[current] * share_left + sum(whole[key] for key in order[order.index(current) + 1 :])


class Forecast:
    """The same while a run goes on in this process: told of every step, it knows the time that is left."""

    def __init__(self, stages: Sequence[Stage], clock: Clock = time.monotonic) -> None:
        self._steps = {stage.key: max(stage.steps, 1) for stage in stages}
        self._shares = {stage.name: stage.share for stage in stages}
        self._clock = clock
        self._spent: dict[str, tuple[float, int]] = {}  # kind -> seconds, steps
        self._current: PhaseKey | None = None
        self._began = self._last = clock()
        self._done = 0

    def begin(self, key: PhaseKey) -> None:
        """A phase starts; every phase listed before it counts as finished."""
        if key not in self._steps:
            raise KeyError(f"phase {key} was not announced")
        self._current, self._done = key, 0
        self._began = self._last = self._clock()

    def advance(self, done: int) -> None:
        """``done`` steps of the current phase are finished."""
        assert self._current is not None
        kind, now = self._current[1], self._clock()
        seconds, steps = self._spent.get(kind, (0.0, 0))
        self._spent[kind] = (seconds + now - self._last, steps + max(done - self._done, 0))
        self._last, self._done = now, done

    @property
    def phase_s(self) -> float:
        """Seconds since the current phase began."""
        return self._clock() - self._began

    def remaining_s(self) -> float | None:
        """Seconds until the last phase ends; None before the first step is finished."""
        per_step = {kind: seconds / steps for kind, (seconds, steps) in self._spent.items() if steps}
        if self._current is None:
            return None
        left = seconds_left(self._steps, per_step, self._shares, self._current, self._done)
        return None if left is None else max(left - (self._clock() - self._last), 0.0)
