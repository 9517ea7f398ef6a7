"""The meter of the open world: nobody knows the answers to free questions."""

from __future__ import annotations

from coevolve.config import EvaluationSection
from coevolve.types import Task
from coevolve.worlds.base import Suite


class OpenMeter:
    """Implements ``coevolve.worlds.base.Meter``: no true answers, no held-out problems."""

    knows_labels = False

    def truth(self, task: Task) -> str | None:
        """None: nobody here knows the answer."""
        return None

    def suites(self, section: EvaluationSection, seed: int) -> tuple[Suite, ...]:
        """None: an answer could not be called right."""
        return ()
