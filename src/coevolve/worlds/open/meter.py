"""The meter of the open world: it knows that nothing is known."""

from __future__ import annotations

from coevolve.types import Task


class OpenMeter:
    """Implements ``coevolve.worlds.base.Meter``: no true answers, no held-out problems."""

    knows_answers = False

    def truth(self, task: Task) -> str | None:
        """None: nobody here knows the answer."""
        return None

    def held_out(self, level: int, n: int, seed: int) -> list[Task]:
        """No tasks."""
        return []

    def dialogues(self, n: int, seed: int) -> dict[str, list[Task]]:
        """No sets."""
        return {}

    def transfer_sets(self, n: int, seed: int) -> dict[str, list[Task]]:
        """No sets."""
        return {}
