"""What the evaluation shows on the page of a run: accuracy first, then how hard the tasks are for a fixed policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from coevolve.evaluation.play_figures import play_figures, play_headline
from coevolve.evaluation.suite_figures import suite_figures, suite_headline
from coevolve.methods.figures import (
    HELD_OUT,
    Headline,
    LineFigure,
    Part,
    RunView,
    Series,
    Stat,
    TableFigure,
    change,
    interval,
    known,
    percent,
    shade,
)
from coevolve.methods.phases.pool_report import POOL
from coevolve.methods.reporting import Row, Unit, number_at
from coevolve.types import PROPOSER
from coevolve.worlds.base import SUITES
from coevolve.worlds.play import PLAY

_FORCED = "fence_forced_base"
_CONTROLS = {_FORCED: "base model, made to open a code block"}
_Measured = Sequence[tuple[int, Row]]


def evaluation_figures(event: str, run: RunView) -> Iterator[Part]:
    """Headline, large numbers, accuracy, difficulty of the tasks, use of the tool, transfer and controls.

    Args:
        event: of the rows that evaluations log.
    """
    measured = run.with_part("held_out")
    agent = run.answerer
    yield _headline(event, run, measured)
    calls = known(run.over_iterations("held_out", "tool_calls"))
    if calls:
        yield Stat("tool calls per solution", change(calls, "{:.1f}".format), agent=agent)
    plays = bool(run.with_part(PLAY))
    if measured or not (run.config.evaluation.suites or plays):
        yield _accuracy(run, measured)
        yield _levels(run, measured)
    yield from play_figures(run)
    yield from suite_figures(run)
    has_pools = any(POOL in entry for entry in run.entries(1))
    if has_pools:
        yield from _on_pools(run)
    lines = [Series("held out", run.over_iterations("held_out", "tool_calls"), agent, tasks=HELD_OUT)]
    note = f"tool calls per solution of each {run.label(agent)} on held-out problems"
    if has_pools:
        fixed = run.over_iterations(POOL, "fixed_executor_tool_calls", first=1)
        lines.append(Series("pools", fixed, PROPOSER, style="dash", tasks={}))
        note += ", and of that of iteration 1 on the pools"
    if not (run.config.evaluation.suites or plays) or any(known(line.values) for line in lines):
        yield LineFigure("Use of the tool", note, "agents", tuple(lines), Unit.PER_ANSWER)
    yield _transfer(run)
    yield _controls(run, measured)


def _headline(event: str, run: RunView, measured: _Measured) -> Headline:
    """How held-out accuracy moved, from the base model to the newest evaluation."""
    if not measured and run.with_part(PLAY):
        return play_headline(run)
    if not measured and run.with_part(SUITES):
        return suite_headline(run)
    if not measured:
        if any(row.get("event") == event for row in run.rows):
            return Headline("The agents co-evolved in a world without known answers, so there is no accuracy to show.")
        return Headline("The run has begun; nothing has been evaluated yet.")
    (_, first), (iteration, last) = measured[0], measured[-1]
    ends = interval(last.get("ci95"))
    lead = [f"95\u00a0% interval {ends}\u00a0%."] if ends else []
    forced = (run.summary.get("controls") or {}).get(_FORCED)
    if forced:
        lead.append(f"The base model made to use the tool reaches {percent(forced['mean_at_8'])}.")
    before, after = first["mean_at_8"], last["mean_at_8"]
    if len(measured) == 1:
        return Headline(f"The base model solves {percent(before)} of the held-out problems.", " ".join(lead))
    verb = "went" if before is None or after is None else "rose" if after > before else "fell"
    rounds = f"{iteration} iteration{'s' if iteration > 1 else ''}"
    moved = f"accuracy on held-out problems {verb} from {percent(before)} to {percent(after)}"
    return Headline(f"In {rounds} {run.taught_by}, {moved}.", " ".join(lead))


def _accuracy(run: RunView, measured: _Measured) -> LineFigure:
    k = next((held["k"] for _, held in measured if held.get("k")), 8)
    n = next((f"{held['n']:,} " for _, held in measured if held.get("n")), "")
    mean = tuple(
        (t, value, *((entry.get("held_out") or {}).get("ci95") or (None, None)))
        for entry, (t, value) in zip(run.entries(), run.over_iterations("held_out", "mean_at_8"), strict=True)
    )
    majority = run.over_iterations("held_out", "maj_at_8")
    lines = (
        Series(f"mean@{k}", mean, run.answerer, tasks=HELD_OUT),
        Series(f"maj@{k}", majority, run.answerer, 3, "dash", thin=True, tasks=HELD_OUT),
        Series("greedy", run.over_iterations("held_out", "greedy"), style="dot", thin=True, tasks=HELD_OUT),
    )
    note = f"{n}problems that no agent ever saw; mean@{k} with 95 % interval, majority of {k}, and greedy"
    return LineFigure("Accuracy on held-out problems", note, "outcome", lines, Unit.SHARE)


def _levels(run: RunView, measured: _Measured) -> LineFigure:
    levels = list(dict.fromkeys(level for _, held in measured for level in held.get("by_level") or ()))
    lines = tuple(
        Series(
            f"level {level}",
            run.over_iterations("held_out", "by_level", level),
            run.answerer,
            shade(i, len(levels)),
            tasks={**HELD_OUT, "set": f"level-{level}"},
        )
        for i, level in enumerate(levels)
    )
    note = "the level is the number of chained steps in the problem; mean over samples"
    return LineFigure("The same by level", note, "outcome", lines, Unit.SHARE)


def _on_pools(run: RunView) -> Iterator[Part]:
    """How a fixed policy fares on the pools of all iterations: whether the tasks become harder."""
    rate = run.over_iterations(POOL, "first_executor_pass_rate", first=1)
    who = f"the iteration-1 {run.label(run.answerer)}"
    if known(rate):
        shown = change(known(rate), lambda x: percent(x, 0))
        yield Stat(f"pass rate of {who} (lower = harder tasks)", shown, agent=PROPOSER)
    elif not run.config.evaluation.pool_samples:
        return
    note = f"how often {who} solves the pool of each iteration: falling means harder"
    line = Series("pass rate", rate, PROPOSER, tasks={})
    yield LineFigure("Difficulty of the tasks", note, "agents", (line,), Unit.SHARE, first=1)


def _after(iteration: int, base: str = "base") -> str:
    return f"iteration {iteration}" if iteration else base


def _with_interval(entry: Row) -> tuple[str, str]:
    return percent(entry.get("mean", entry.get("mean_at_8"))), interval(entry.get("ci95"))


def _transfer(run: RunView) -> TableFigure:
    measured = run.with_part("transfer")
    sets = dict.fromkeys(name for _, sets in measured for name in sets)
    rows = tuple(
        (name.replace("_", " "), *(_with_interval(sets[name]) if name in sets else "–" for _, sets in measured))
        for name in sets
    )
    note = "problems of kinds that are rare in, or absent from, what the base model knows; 95 % interval below"
    return TableFigure("Transfer", note, "other", ("set", *(_after(t) for t, _ in measured)), rows)


def _controls(run: RunView, measured: _Measured) -> TableFigure:
    controls = run.summary.get("controls") or {}
    if not controls:
        return TableFigure("Controls", "what a part of the change would give alone", "other", (), ())
    last = f"{run.label(run.answerer)} after iteration {measured[-1][0]}" if measured else ""
    ends = [("base model", measured[0][1])] if measured else []
    ends += [(last, measured[-1][1])] if len(measured) > 1 else []
    named = [(_CONTROLS.get(name, name.replace("_", " ")), entry) for name, entry in controls.items()]
    rows = tuple((name, _with_interval(entry), _calls(entry)) for name, entry in [*ends, *named])
    note = "is it more than opening a code block? mean@k on the same held-out problems, 95 % interval below"
    return TableFigure("Controls", note, "other", ("", "accuracy", "tool calls"), rows)


def _calls(entry: Row) -> str:
    calls = number_at(entry, "tool_calls")
    return "–" if calls is None else f"{calls:.1f}"
