"""What went wrong in an iteration, in words: whatever the checks of the phases say of the rows of metrics.jsonl.

An alarm is for what should stop a person: its limits are far from what a healthy run shows. ``docs/health.md`` says
what each means and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coevolve.methods.reporting import PhaseReport, Row, Seen

EVENT = "alarm"  # of the rows in metrics.jsonl


@dataclass(frozen=True, slots=True)
class Alarm:
    """What went wrong: one of the names of ``docs/health.md``, and a sentence with the numbers."""

    kind: str
    text: str

    def row(self, iteration: int) -> dict[str, object]:
        """The alarm as a row of metrics.jsonl."""
        return {"event": EVENT, "iteration": iteration, "kind": self.kind, "text": self.text}


def alarms(rows: Sequence[Row], iteration: int, reports: Sequence[PhaseReport], config: Any = None) -> list[Alarm]:
    """Everything that went wrong in an iteration; nothing is said about what was not measured.

    Args:
        rows: of metrics.jsonl; those of later iterations are not looked at.
        iteration: counted from 1; of the base model (0) there is nothing to say.
        reports: of the run's phases.
        config: of the run; without it nothing is said that depends on it.
    """
    seen = Seen(rows, iteration, config)
    checks = [(kind, check) for report in reports for kind, check in report.alarms.items()]
    return [Alarm(kind, text) for kind, check in checks if (text := check(seen))]
