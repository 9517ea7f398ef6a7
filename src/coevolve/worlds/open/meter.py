"""The meter of the open world: of free questions it answers those that an exact solver understands."""

from __future__ import annotations

from coevolve.config import EvaluationSection
from coevolve.types import Task
from coevolve.worlds.base import Suite
from coevolve.worlds.open.exact.answer import true_answer


class OpenMeter:
    """Implements ``coevolve.worlds.base.Meter``: the true answers of some tasks, no held-out problems."""

    knows_labels, knows_all_labels = True, False

    def truth(self, task: Task) -> str | None:
        """The true answer of a question that can be read as a whole and has one exact answer; None of any other."""
        return true_answer(task.question) if len(task.turns) == 1 else None

    def suites(self, section: EvaluationSection, seed: int) -> tuple[Suite, ...]:
        """None: suites are chosen, by ``evaluation.suites``."""
        return ()
