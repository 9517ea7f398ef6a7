"""Save points of a training phase, kept so that a process that takes it up need not train again what was trained."""

from __future__ import annotations

from coevolve.rollout.policy import Policy
from coevolve.runs.clock import PhaseClock
from coevolve.runs.stopping import StopRequest
from coevolve.runs.store import RunFolder


class RunSavePoints:
    """Implements :class:`coevolve.methods.base.SavePoints` on a run folder: one file, replaced step by step."""

    def __init__(self, folder: RunFolder, clock: PhaseClock, stop: StopRequest) -> None:
        self._folder, self._clock, self._stop = folder, clock, stop

    def take_up(self, policy: Policy) -> int:
        """Bring the policy to where the phase was; returns the steps that are finished, 0 for a new phase."""
        cursor = self._folder.cursor
        if cursor is None:
            return 0
        (file,) = cursor.files
        policy.take_up(self._folder.path / file, cursor.memory)
        return cursor.step

    def keep(self, policy: Policy, step: int) -> None:
        """Save the policy when enough steps are done since the last time, or when the run is to stop."""
        if step % self._folder.config.run.save_every == 0 or self._stop.asked:
            self._folder.save_point(step, policy.keep, policy.memory(), self._clock.times)
        self._stop.check()
