"""The one line that a finished phase leaves on the screen, in the words of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def phase_line(name: str, rows: Sequence[Row], iteration: int) -> str:
    """What a phase has achieved, from the metrics so far."""
    mine = [row for row in rows if row.get("iteration") == iteration]
    if name == "curriculum":
        return _curriculum(_last(mine, "curriculum_step"))
    if name == "pool":
        return _pool(_last(mine, "pool"))
    if name == "executor":
        return _executor(_last(mine, "executor_step"), _last(mine, "rollback"))
    return _evaluation(
        _last(mine, "evaluation"), _last([r for r in rows if r.get("iteration") == iteration - 1], "evaluation")
    )


def _last(rows: Sequence[Row], event: str) -> Row:
    found = [row for row in rows if row.get("event") == event]
    return found[-1] if found else {}


def _curriculum(row: Row) -> str:
    parts = [f"{label} {_number(row.get(key))}" for label, key in _REWARDS]
    return f"{'  '.join(parts)}   well formed {_percent(row.get('format'))}"


_REWARDS = (("reward", "reward"), ("unc", "r_unc"), ("tool", "r_tool"), ("rep", "r_rep"))


def _pool(row: Row) -> str:
    return (
        f"{row.get('size')} written · {_percent(row.get('well_formed'))} well formed · {row.get('kept')} kept"
        + _known(" · labels right", row.get("label_accuracy_kept"))
    )


def _executor(row: Row, rollback: Row) -> str:
    if not row:
        return "no task was kept; unchanged"
    back = f"   ROLLED BACK to iteration {rollback['to']}" if rollback else ""
    return (
        f"reward {_number(row.get('reward'))}{_known('   truly right', row.get('true_accuracy'))}"
        f"   clip {_percent(row.get('clip_fraction'), 1)}{back}"
    )


def _evaluation(row: Row, before: Row) -> str:
    held = row["held_out"]
    if held is None:
        return "this world knows no answers: nothing was held against the truth"
    half = (held["ci95"][1] - held["ci95"][0]) / 2
    old = before.get("held_out")
    rise = f"{_percent(old['mean_at_8'], 1)} -> " if old else ""
    calls = f"{_number(old['tool_calls'])} -> " if old else ""
    return (
        f"{rise}{_percent(held['mean_at_8'], 1)} (± {100 * half:.1f})   greedy {_percent(held['greedy'])}"
        f"   tool calls {calls}{_number(held['tool_calls'])}"
    )


def _known(label: str, share: object) -> str:
    """Nothing where no truth is known."""
    return f"{label} {_percent(share)}" if isinstance(share, int | float) else ""


def _number(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "-"


def _percent(value: object, digits: int = 0) -> str:
    return f"{100 * value:.{digits}f} %" if isinstance(value, int | float) else "-"
