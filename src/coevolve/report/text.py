"""What happened in a run, in words and with the numbers that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coevolve.monitor.health import percent

Summary = Mapping[str, Any]


def headline(summary: Summary) -> str:
    """One sentence: how held-out accuracy moved, from the base model to the newest evaluation."""
    measured = [entry for entry in summary["iterations"] if entry["held_out"]]
    if not measured and summary.get("world") == "open":
        return "Two agents raised each other in a world whose answers nobody knows: there is no accuracy to show."
    if not measured:
        return "The run has begun; nothing has been evaluated yet."
    first, last = measured[0]["held_out"], measured[-1]["held_out"]
    if len(measured) == 1:
        return f"The base model solves {percent(first['mean_at_8'])} of the held-out problems."
    before, after = first["mean_at_8"], last["mean_at_8"]
    verb = "went" if before is None or after is None else "rose" if after > before else "fell"
    count = measured[-1]["iteration"]
    rounds = f"{count} iteration{'s' if count > 1 else ''}"
    return (
        f"In {rounds} without any data, accuracy on held-out problems {verb} "
        f"from {percent(before)} to {percent(after)}."
    )


def standing(summary: Summary) -> str:
    """One sentence about a run that has not finished; empty for one that has."""
    if summary["status"] == "finished":
        return ""
    done = summary["finished_phases"]
    where = f"its last finished phase is {done[-1]}" if done else "no phase is finished"
    return f"This run has not finished (status: {summary['status']}); {where}. The page shows what there is so far."


def notices(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the run itself found wrong, alarms and rollbacks, in the order of the log.

    Each has the ``event`` and ``iteration`` of its row and the keys of a finding.
    """
    titles = {"alarm": "Alarm", "rollback": "Rolled back"}
    return [
        {"event": row["event"], "iteration": row["iteration"], "tone": "bad"}
        | {"title": f"{titles[row['event']]} in iteration {row['iteration']}", "text": row["text"]}
        for row in metrics
        if row.get("event") in titles
    ]
