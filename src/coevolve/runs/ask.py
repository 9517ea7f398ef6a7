"""Asking the trained executor of a run one question."""

from __future__ import annotations

from pathlib import Path

from coevolve.rollout import asking
from coevolve.runs.answerer import Readability, of_run
from coevolve.types import PROPOSER, Origin, Task, Trajectory


def solve(path: Path, question: str) -> Trajectory:
    """The greedy answer of the newest executor of a run; of the base model, where the run trains no executor.

    Raises:
        ConfigError: the model cannot read the question.
        RunError: the run has no trained executor yet.
        CoevolveError: the run, the model or the sandbox cannot be used.
    """
    answerer = of_run(path, overrides=["engine.workers=1"])
    task = Task("asked", (question,), "asked", Origin(answerer.config.method, PROPOSER, answerer.iteration or 0))
    Readability(answerer).require(task)
    rollouts = answerer.open_rollouts()
    try:
        found = asking.solve(
            rollouts, answerer.policy, [task], 1, seed=answerer.config.seed, greedy=True, agent=answerer.agent
        )
        return found[0][0]
    finally:
        rollouts.close()
