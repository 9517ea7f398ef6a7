"""What the evaluation tells, and where it is shown. Pure functions over rows of metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from coevolve.evaluation.figures import evaluation_figures
from coevolve.evaluation.play_figures import main_play
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
    iterations,
    listed,
    number,
    number_at,
    part_of,
    percent,
    series,
    two_digits,
)
from coevolve.worlds.base import HELD_OUT, SUITES
from coevolve.worlds.play import PLAY

EVALUATE, EVALUATION, CONTROL = "evaluate", "evaluation", "control"
_HELD_OUT = (MEAN_AT_K, MAJ_AT_K, "greedy", "by_level", "tool_calls", "n", "ci95")
_FORCED = ("controls", "fence_forced_base", MEAN_AT_K)
SILENT = 0.9  # share of a suite's answers of which none can be read
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
        quantities=_quantities(solver),
        figures=(partial(evaluation_figures, EVALUATION),),
        alarms={"no answers": _nobody_answers},
        findings=(partial(_progress, solver), partial(_difficulty, solver), _unanswered, partial(_on_suites, solver)),
    )


def _parts(rows: Sequence[Row], iteration: int) -> dict[str, object]:
    seen = Seen(rows, iteration)
    row = seen.last(EVALUATION)
    parts: dict[str, object] = {HELD_OUT: part_of(row.get(HELD_OUT) or {}, _HELD_OUT)}
    parts |= {"transfer": row.get("transfer"), SUITES: row.get(SUITES)}
    parts |= {PLAY: row[PLAY]} if PLAY in row else {}
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
    now, before = Seen(rows, iteration).last(EVALUATION), Seen(rows, iteration - 1).last(EVALUATION)
    held, suites = now.get(HELD_OUT), now.get(SUITES) or {}
    parts = [_held_out_line(held, before.get(HELD_OUT))] if held else []
    parts += [_suite_line(name, suite, (before.get(SUITES) or {}).get(name)) for name, suite in suites.items()]
    parts += [_play_line(key, found, (before.get(PLAY) or {}).get(key)) for key, found in main_play(now.get(PLAY))]
    return " · ".join(parts) or "this world knows no answers: nothing was held against the truth"


def _held_out_line(held: Row, old: Row | None) -> str:
    half = (held["ci95"][1] - held["ci95"][0]) / 2
    rise = f"{percent(old[MEAN_AT_K], 1)} -> " if old else ""
    calls = f"{two_digits(old['tool_calls'])} -> " if old else ""
    return (
        f"accuracy {rise}{percent(held[MEAN_AT_K], 1)} (± {100 * half:.1f}) · greedy {percent(held['greedy'])}"
        f" · tool calls {calls}{two_digits(held['tool_calls'])}"
    )


def _suite_line(name: str, suite: Row, old: Row | None) -> str:
    """``gsm8k 41.2 % -> 45.0 % (± 2.6)``."""
    rise = f"{percent(old['mean'], 1)} -> " if old else ""
    return f"{name} {rise}{percent(suite['mean'], 1)} (± {50 * (suite['ci95'][1] - suite['ci95'][0]):.1f})"


def _play_line(key: str, found: Row, old: Row | None) -> str:
    """``tictactoe_perfect lost 61 % -> 40 %``; of a strategy its first figure."""
    if "loss" in found:
        rise = f"{percent(old['loss'])} -> " if old else ""
        return f"{key} lost {rise}{percent(found['loss'])}"
    name, value = next(iter(found.items()))
    rise = f"{old[name]:.3f} -> " if old else ""
    return f"{key} {name} {rise}{value:.3f}"


def _mean(values: Sequence[float | None]) -> float | None:
    """None of nothing, and where any is unknown."""
    known = [x for x in values if x is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def first_levels(by_level: object) -> float | None:
    """mean@k over levels 1 to 3, which hold equally many problems."""
    return _mean([number_at(by_level, level) for level in "123"])


def _held_out(name: str, key: str, heading: str, unit: Unit, column: str, meaning: str, **more: Any) -> Quantity:
    """A number that every evaluation has under ``name`` among those of the held-out questions."""
    metric = f"{EVALUATION}/{HELD_OUT}/{name}"
    return Quantity(key, heading, (HELD_OUT, name), unit, column=column, meaning=meaning, metric=metric, **more)


def _dialogue(key: str, heading: str, *path: str, **more: Any) -> Quantity:
    """Accuracy on held-out dialogues."""
    return Quantity(key, heading, ("transfer", *path), Unit.SHARE, Better.HIGHER, default=False, **more)


HELD_OUT_ACCURACY = _held_out(
    MEAN_AT_K,
    MEAN_AT_K,
    "mean@k by iteration",
    Unit.SHARE,
    "held-out",
    "accuracy of single answers on held-out questions of one turn",
    better=Better.HIGHER,
    interval=(HELD_OUT, "ci95"),
)


def _quantities(solver: str) -> tuple[Quantity, ...]:
    higher, share, calls = Better.HIGHER, Unit.SHARE, Unit.PER_ANSWER
    majority, greedy = "held-out accuracy of the majority answer of k", "held-out accuracy of the greedy answer"
    levels = (HELD_OUT, "by_level")
    (rate, used), first = [(POOL, name) for name in _OF_POOLS], f"first {solver}"
    harder = f"pass rate of the {solver} of iteration 1 on each pool"
    dialogues = "mean@k on held-out dialogues of 2, 3 and 4 turns"
    of_suites = "mean of mean@k over the suites of evaluation.suites"
    forced = "mean@k of the base model with its first tool call forced"
    return (
        HELD_OUT_ACCURACY,
        _held_out(MAJ_AT_K, "majority", "majority", share, "maj@k", majority, better=higher, default=False),
        _held_out("greedy", "greedy", "greedy, last", share, "greedy", greedy, better=higher, span=Span.LAST),
        Quantity("levels_1_to_3", "levels 1-3, last", levels, share, higher, span=Span.LAST, value=first_levels),
        _held_out("tool_calls", "calls", "tool calls, held-out", calls, "tool calls", "in one held-out answer"),
        Quantity("first_executor", first, rate, share, Better.LOWER, first=1, column=first, meaning=harder),
        Quantity("pool_calls", "tool calls, pools", used, calls, first=1, meaning="its tool calls there"),
        _dialogue("dialogues", "dialogues", meaning=dialogues, value=_dialogues),
        *(_dialogue(f"dialogue_{n}", f"{n} user turns", f"dialogue_{n}", "mean") for n in (2, 3, 4)),
        Quantity("suites", "suites", (SUITES,), share, higher, default=False, meaning=of_suites, value=suites_mean),
        Quantity("forced", "tool forced", _FORCED, share, span=Span.BASE, default=False, meaning=forced),
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


def _nobody_answers(seen: Seen) -> str:
    """Suites of which next to no answer could be read: that is a matter of formats, not of what a model can do."""
    suites = seen.last(EVALUATION).get(SUITES) or {}
    return " ".join(_silence(name, suite) for name, suite in suites.items() if number(suite, "no_answer") >= SILENT)


def _silence(name: str, suite: Row) -> str:
    share, cut = number(suite, "no_answer"), number(suite, "cut_off")
    if cut >= share / 2:
        why = f"{percent(cut)} used up their tokens: a larger sampling.max_tokens, or a model that ends its answers"
    else:
        why = "most of them ended without a box: other model.prompts may fit the model"
    return (
        f"{percent(share)} of the answers to {name} hold no answer that can be read; {why}. "
        "`coevolve solve RUN QUESTION` shows one."
    )


def _unanswered(summary: Summary, rows: Sequence[Row]) -> Finding | None:
    """Of the newest evaluation with suites."""
    measured = [suites for entry in iterations(summary) if isinstance(suites := at(entry, SUITES), Mapping)]
    newest = measured[-1] if measured else {}
    silent = [_silence(name, suite) for name, suite in newest.items() if number(suite, "no_answer") >= SILENT]
    return Finding("bad", "Nobody answers", " ".join(silent)) if silent else None


def _on_suites(solver: str, summary: Summary, rows: Sequence[Row]) -> Finding | None:
    """How the newest solver differs from the base model on the same problems, where that is more than chance."""
    found = summary.get(SUITES) or {}
    changes = {name: of["change"] for name, of in found.items() if of["change"]}
    if not changes:
        return None
    text = "; ".join(
        f"{name} {_points(c['mean'])} points ({' to '.join(map(_points, c['ci95']))}, {c['n']} problems)"
        for name, c in changes.items()
    )
    text = f"Against the base model on the same problems: {text}."
    fell = [name for name, change in changes.items() if change["ci95"][1] < 0]
    rose = [name for name, change in changes.items() if change["ci95"][0] > 0]
    if fell:
        return Finding("watch", f"The {solver} became worse on {', '.join(fell)}", text)
    if rose:
        return Finding("good", f"The {solver} became better on {', '.join(rose)}", text)
    return Finding("watch", f"No suite tells the {solver} apart from the base model", text)


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def suites_mean(suites: object) -> float | None:
    """The mean of the accuracies on all suites, each counting once however many problems it has."""
    return _mean([number_at(suites, name, "mean") for name in suites]) if isinstance(suites, Mapping) else None


def _difficulty(solver: str, summary: Summary, rows: Sequence[Row]) -> Finding | None:
    values = series(summary, POOL, "first_executor_pass_rate")
    if len(values) < 2:
        return None
    text = f"Pass rate of the first {solver} on the pools, by iteration: {listed(values)}."
    if values[-1][1] < values[0][1]:
        return Finding("good", f"The tasks become harder for the first {solver}", text)
    return Finding("watch", f"The tasks do not become harder for the first {solver}", text)
