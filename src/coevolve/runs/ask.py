"""Asking the trained executor of a run one question, and which one to ask."""

from __future__ import annotations

from pathlib import Path

from coevolve.rollout import asking
from coevolve.runs.answerer import Readability, of_run
from coevolve.store.records import RunRecords
from coevolve.types import PROPOSER, Origin, Task, Trajectory
from coevolve.worlds.registry import world_named

_LONGEST = 160  # characters of an example, so that a hint fits into two lines


def example_for(path: Path) -> str:
    """A question that the solver of a run can be asked: one that the run itself kept, or that of its world.

    Raises:
        RunError: the run is damaged.
    """
    records = RunRecords.open(path)
    entry = world_named(records.config.world)
    tables = records.recorded("tasks/") if entry.plain else []  # elsewhere all questions look like that of the world
    for relative in reversed(tables):
        rows = [row for row in records.read_table(relative) if row["kept"] and _fits(str(row["question"]))]
        if rows:
            return str(max(rows, key=lambda row: float(str(row["p_hat"])))["question"])
    return entry.example


def _fits(question: str) -> bool:
    return len(question) <= _LONGEST and question.isprintable()


def solve(path: Path, question: str, iteration: int | None = None) -> Trajectory:
    """The greedy answer of an executor of a run; of the base model, where the run trains no executor.

    Args:
        iteration: 0 for the base model; None for the newest executor.

    Raises:
        ConfigError: the model cannot read the question.
        RunError: the run has no trained executor yet.
        CoevolveError: the run, the model or the sandbox cannot be used.
    """
    answerer = of_run(path, iteration, overrides=["engine.workers=1"])
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
