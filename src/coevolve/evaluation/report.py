"""What the evaluation tells, and where it is shown. Pure functions over rows of metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

from coevolve.evaluation.figures import evaluation_figures
from coevolve.evaluation.suites import MAJ_AT_K, MEAN_AT_K
from coevolve.methods.phases.pool_report import POOL
from coevolve.methods.reporting import (
    Better,
    Finding,
    PhaseReport,
    Quantity,
    Row,
    Seen,
    Span,
    Summary,
    Unit,
    at,
    listed,
    number_at,
    part_of,
    percent,
    series,
    two_digits,
)
from coevolve.worlds.base import HELD_OUT

EVALUATE, EVALUATION, CONTROL = "evaluate", "evaluation", "control"
_HELD_OUT = (MEAN_AT_K, MAJ_AT_K, "greedy", "by_level", "tool_calls", "n", "ci95")
_OF_POOLS = ("first_executor_pass_rate", "fixed_executor_tool_calls")  # a later evaluation may measure a pool again


def evaluation_report(solver: str) -> PhaseReport:
    """The report of the phase for a method that calls the agent it measures so."""
    return PhaseReport(
        name=EVALUATE,
        title="held-out",
        activity="measuring on held-out problems",
        headline=_headline,
        summary=_parts,
        whole=_controls,
        quantities=(*_held_out_quantities(), *_pool_quantities(solver), *_dialogue_quantities(), _FORCED),
        figures=(partial(evaluation_figures, EVALUATION),),
        findings=(partial(_progress, solver), partial(_difficulty, solver)),
    )


def _parts(rows: Sequence[Row], iteration: int) -> dict[str, object]:
    seen = Seen(rows, iteration)
    row = seen.last(EVALUATION)
    parts = {HELD_OUT: part_of(row.get(HELD_OUT) or {}, _HELD_OUT), "transfer": row.get("transfer")}
    if seen.now(POOL):
        parts[POOL] = {key: _newest(rows, key, iteration) for key in _OF_POOLS}
    return parts


def _newest(rows: Sequence[Row], key: str, pool: int) -> object:
    """What the newest evaluation that measured a pool found."""
    measured = [row.get(key) or {} for row in rows if row.get("event") == EVALUATION]
    values = [found[str(pool)] for found in measured if str(pool) in found]
    return values[-1] if values else None


def _controls(rows: Sequence[Row]) -> dict[str, object]:
    found = [row for row in rows if row.get("event") == CONTROL]
    return {"controls": {row["name"]: {k: v for k, v in row.items() if k not in ("event", "name")} for row in found}}


def _headline(rows: Sequence[Row], iteration: int) -> str:
    held = Seen(rows, iteration).last(EVALUATION).get(HELD_OUT)
    if held is None:
        return "this world knows no answers: nothing was held against the truth"
    half = (held["ci95"][1] - held["ci95"][0]) / 2
    old = Seen(rows, iteration - 1).last(EVALUATION).get(HELD_OUT)
    rise = f"{percent(old[MEAN_AT_K], 1)} -> " if old else ""
    calls = f"{two_digits(old['tool_calls'])} -> " if old else ""
    return (
        f"accuracy {rise}{percent(held[MEAN_AT_K], 1)} (± {100 * half:.1f}) · greedy {percent(held['greedy'])}"
        f" · tool calls {calls}{two_digits(held['tool_calls'])}"
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """None of nothing, and where any is unknown."""
    known = [x for x in values if x is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _first_levels(by_level: object) -> float | None:
    """mean@k over levels 1 to 3, which hold equally many problems."""
    return _mean([number_at(by_level, level) for level in "123"])


HELD_OUT_ACCURACY = Quantity(
    key=MEAN_AT_K,
    heading="mean@k by iteration",
    path=(HELD_OUT, MEAN_AT_K),
    unit=Unit.SHARE,
    better=Better.HIGHER,
    column="held-out",
    meaning="accuracy of single answers on held-out questions of one turn",
    interval=(HELD_OUT, "ci95"),
    metric=f"evaluation/{HELD_OUT}/{MEAN_AT_K}",
)


FIRST_LEVELS = Quantity(
    key="levels_1_to_3",
    heading="levels 1-3, last",
    path=(HELD_OUT, "by_level"),
    unit=Unit.SHARE,
    better=Better.HIGHER,
    span=Span.LAST,
    value=_first_levels,
)


def _held_out_quantities() -> tuple[Quantity, ...]:
    return (
        HELD_OUT_ACCURACY,
        Quantity(
            key="majority",
            heading="majority",
            path=(HELD_OUT, MAJ_AT_K),
            unit=Unit.SHARE,
            better=Better.HIGHER,
            default=False,
            column="maj@k",
            meaning="held-out accuracy of the majority answer of k",
            metric=f"evaluation/{HELD_OUT}/{MAJ_AT_K}",
        ),
        Quantity(
            key="greedy",
            heading="greedy, last",
            path=(HELD_OUT, "greedy"),
            unit=Unit.SHARE,
            better=Better.HIGHER,
            span=Span.LAST,
            column="greedy",
            meaning="held-out accuracy of the greedy answer",
            metric="evaluation/held_out/greedy",
        ),
        FIRST_LEVELS,
        Quantity(
            key="calls",
            heading="tool calls, held-out",
            path=(HELD_OUT, "tool_calls"),
            unit=Unit.PER_ANSWER,
            column="tool calls",
            meaning="in one held-out answer",
            metric="evaluation/held_out/tool_calls",
        ),
    )


def _pool_quantities(solver: str) -> tuple[Quantity, ...]:
    return (
        Quantity(
            key="first_executor",
            heading=f"first {solver}",
            path=(POOL, "first_executor_pass_rate"),
            unit=Unit.SHARE,
            better=Better.LOWER,
            first=1,
            column=f"first {solver}",
            meaning=f"pass rate of the {solver} of iteration 1 on each pool",
        ),
        Quantity(
            key="pool_calls",
            heading="tool calls, pools",
            path=(POOL, "fixed_executor_tool_calls"),
            unit=Unit.PER_ANSWER,
            first=1,
            meaning="its tool calls there",
        ),
    )


def _dialogue_quantities() -> tuple[Quantity, ...]:
    of_turns = (
        Quantity(
            key=f"dialogue_{turns}",
            heading=f"{turns} user turns",
            path=("transfer", f"dialogue_{turns}", "mean"),
            unit=Unit.SHARE,
            better=Better.HIGHER,
            default=False,
        )
        for turns in (2, 3, 4)
    )
    return (
        Quantity(
            key="dialogues",
            heading="dialogues",
            path=("transfer",),
            unit=Unit.SHARE,
            better=Better.HIGHER,
            default=False,
            meaning="mean@k on held-out dialogues of 2, 3 and 4 turns",
            value=_dialogues,
        ),
        *of_turns,
    )


_FORCED = Quantity(
    key="forced",
    heading="tool forced",
    path=("controls", "fence_forced_base", MEAN_AT_K),
    unit=Unit.SHARE,
    span=Span.BASE,
    default=False,
    meaning="mean@k of the base model with its first tool call forced",
)


def _dialogues(transfer: object) -> float | None:
    """Mean accuracy over the sets of held-out dialogues; equally many problems in each."""
    names = [name for name in transfer if name.startswith("dialogue_")] if isinstance(transfer, Mapping) else []
    return _mean([x for name in names if (x := number_at(transfer, name, "mean")) is not None])


def _progress(solver: str, summary: Summary, rows: Sequence[Row]) -> Finding | None:
    values = series(summary, HELD_OUT, MEAN_AT_K)
    if len(values) < 2:
        return None
    worse = [later[0] for earlier, later in pairwise(values) if later[1] < earlier[1]]
    k = at(summary["iterations"][values[-1][0]], HELD_OUT, "k") or "k"
    text = f"mean@{k} after iterations {values[0][0]} to {values[-1][0]}: {listed(values)}."
    if not worse:
        return Finding("good", f"The {solver} became better in every iteration", text)
    return Finding("watch", f"The {solver} became worse in iteration {', '.join(map(str, worse))}", text)


def _difficulty(solver: str, summary: Summary, rows: Sequence[Row]) -> Finding | None:
    values = series(summary, POOL, "first_executor_pass_rate")
    if len(values) < 2:
        return None
    text = f"Pass rate of the first {solver} on the pools, by iteration: {listed(values)}."
    if values[-1][1] < values[0][1]:
        return Finding("good", f"The tasks become harder for the first {solver}", text)
    return Finding("watch", f"The tasks do not become harder for the first {solver}", text)
