"""What the phases of Agent0 and R-Zero show on the page of a run: pure functions over the run's summary and rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from coevolve.methods.config import CoevolutionConfig, GateSection
from coevolve.methods.figures import (
    AgentNote,
    Bar,
    BarGroup,
    BarsFigure,
    LineFigure,
    Panel,
    Part,
    RunView,
    Series,
    Stat,
    change,
    known,
    percent,
)
from coevolve.methods.metrics import training_figures
from coevolve.methods.reporting import Row, Unit
from coevolve.types import PROPOSER, SOLVER

_P_HAT_BINS = ("< .3", ".3–.5", ".5–.7", ".7–.8", "> .8")  # see train_solver.P_HAT_EDGES
_RIGHT = {"label": "right"}  # of the task browser
_Pools = Sequence[tuple[int, Row]]


def proposer_figures(event: str, run: RunView) -> Iterator[Part]:
    """Parts of the reward by step; entropy, KL and skipped updates.

    Args:
        event: of the rows that its steps log.
    """
    lines = (
        _line(run, event, "reward", "total", PROPOSER),
        _line(run, event, "r_unc", "uncertainty", PROPOSER, shade=3, style="dash", thin=True),
        _line(run, event, "r_tool", "tool", PROPOSER, shade=5, style="dot", thin=True),
        _line(run, event, "r_rep", "repetition", style="dash", thin=True),
        _line(run, event, "format", "format", thin=True),
    )
    title = f"What the {run.label(PROPOSER)} is rewarded for"
    note = "mean parts of the reward over its training steps; repetition is subtracted"
    yield LineFigure(title, note, "health", lines, Unit.NUMBER, x="step", low=None, wide="two")
    yield from training_figures(run, event, PROPOSER)


def solver_figures(event: str, run: RunView) -> Iterator[Part]:
    """Reward against truth by step, clipped tokens by p_hat; entropy, KL and skipped updates.

    Args:
        event: of the rows that its steps log.
    """
    with_tool = " with Python" if run.config.tool.enabled else ""
    yield AgentNote(SOLVER, f"learns to solve them{with_tool}")
    lines = (
        _line(run, event, "reward", "reward", SOLVER),
        _line(run, event, "true_accuracy", "accuracy", style="dot", strong=True),
    )
    note = "agreement with the pseudo-labels, and true accuracy (known to the meter only)"
    title = f"Reward and true accuracy of the {run.label(SOLVER)}"
    yield LineFigure(title, note, "health", lines, Unit.SHARE, x="step")
    yield _clipped(run, event)
    yield from training_figures(run, event, SOLVER)


def pool_figures(part: str, run: RunView) -> Iterator[Part]:
    """What was written, how the votes on it fall, what the gate keeps, and how many pseudo-labels are right.

    Args:
        part: of an iteration's summary, in which the facts of its pool stand.
    """
    pools, of = run.with_part(part), partial(run.over_iterations, part, first=1)
    yield AgentNote(PROPOSER, f"writes tasks the {run.label(SOLVER)} cannot quite solve reliably yet")
    yield from _pool_stats(pools)
    if any(set(pool.get("steps_histogram") or {}) != {"0"} for _, pool in pools) or not pools:
        yield _lengths(pools)  # questions in words have no steps that could be counted
    yield _votes(run, pools)
    some = any(pool.get("label_known_kept") is not None for _, pool in pools)
    yield _shares_of_pools(
        "Pseudo-label accuracy",
        "majority answers compared with the truth, which is known to the meter only"
        + (", of tasks that an exact solver can read" if some else ""),
        Series("kept", of("label_accuracy_kept"), SOLVER, tasks=_RIGHT | {"fate": "kept"}),
        Series("all", of("label_accuracy_all"), SOLVER, 3, "dash", thin=True, tasks=_RIGHT),
    )
    yield _shares_of_pools(
        "Well-formed and repeated questions",
        "of the written questions; duplicates were asked before in this run",
        Series("well formed", of("well_formed"), PROPOSER, tasks={}),
        Series("duplicates", of("duplicates"), PROPOSER, 3, "dash", thin=True, tasks={}),
    )
    entropy = of("vote_entropy")
    if known(entropy):  # older runs did not log it
        note = "mean entropy of the votes on a task, in nats: 0 when all answers are the same"
        line = Series("votes", entropy, SOLVER, tasks={})
        yield LineFigure("Disagreement of the votes", note, "health", (line,), Unit.NATS, first=1)


def _shares_of_pools(title: str, note: str, *lines: Series) -> LineFigure:
    return LineFigure(title, note, "health", lines, Unit.SHARE, first=1)


def _line(run: RunView, event: str, key: str, name: str, agent: str = "", **look: object) -> Series:
    return Series(name, run.over_steps(event, key), agent, tasks={}, **look)  # type: ignore[arg-type]


def _pool_stats(pools: _Pools) -> Iterator[Stat]:
    right = [share for _, pool in pools if (share := pool.get("label_accuracy_kept")) is not None]
    if right:
        known_of = [pool.get("label_known_kept") for _, pool in pools]
        checked = f" of {sum(n or 0 for n in known_of):,} checked" if any(n is not None for n in known_of) else ""
        yield Stat("pseudo-label accuracy of kept tasks", change(right, lambda x: percent(x, 0)), checked)
    if pools:
        kept, size = (sum(pool.get(key) or 0 for _, pool in pools) for key in ("kept", "size"))
        yield Stat("tasks kept by the gate", (f"{kept:,}",), f" of {size:,}")


def _lengths(pools: _Pools) -> BarsFigure:
    """Tasks of each pool by the number of steps in the question."""
    pools = [(t, pool) for t, pool in pools if pool.get("steps_histogram")]
    steps = sorted({step for _, pool in pools for step in pool["steps_histogram"]}, key=int)
    groups = tuple(BarGroup(f"iteration {t}", tuple(_length(t, pool, step) for step in steps)) for t, pool in pools)
    note = "tasks of each pool by the number of steps in the question"
    unit = Unit.COUNT if len(pools) > 1 else None
    labels, panels = tuple(steps), (Panel(groups),) if groups else ()
    return BarsFigure("Length of the questions", note, "agents", labels, panels, "steps", PROPOSER, unit=unit)


def _length(iteration: int, pool: Row, step: str) -> Bar:
    number = pool["steps_histogram"].get(step, 0)
    text = f"iteration {iteration}: {number} tasks of {step} steps"
    return Bar(number, text, {"iteration": str(iteration), "steps": step})


def _votes(run: RunView, pools: _Pools) -> BarsFigure:
    """Histograms of p_hat, with the window of the gate."""
    gate = run.config.gate if isinstance(run.config, CoevolutionConfig) and run.config.gate.enabled else None
    panels = tuple(_vote_panel(gate, t, pool) for t, pool in pools if pool.get("p_hat_histogram"))
    labels = tuple(f"{bin / 10:.1f}" for bin in range(11))
    title = f"How sure the {run.label(SOLVER)} is of each task"
    note = "p̂ is the share of the majority answer among all votes; tasks in the shaded window enter training"
    return BarsFigure(title, note, "health", labels, panels, "p̂", SOLVER, every=5, wide="wide")


def _vote_panel(gate: GateSection | None, t: int, pool: Row) -> Panel:
    low, high = gate.bounds(t) if gate else (0.0, 1.0)
    bars = tuple(
        Bar(
            number,
            f"p̂ near {bin / 10:.1f}: {number} tasks",
            {
                "iteration": str(t),
                "low": f"{max(bin / 10 - 0.05, 0):.2f}",
                "high": f"{min(bin / 10 + 0.05, 1):.2f}",
            },
            faded=not low - 1e-9 <= bin / 10 <= high + 1e-9,
        )
        for bin, number in enumerate(pool["p_hat_histogram"])
    )
    window = (low * 10 + 0.05, high * 10 + 0.95) if gate else None
    return Panel((BarGroup(f"iteration {t}", bars),), f"iteration {t}: {pool['kept']} of {pool['size']} kept", window)


def _clipped(run: RunView, event: str) -> BarsFigure:
    """Clipped share of the trained tokens by p_hat, a group of bars per iteration."""
    steps = [row for row in run.rows if row.get("event") == event]
    by_iteration = {t: [row for row in steps if row["iteration"] == t] for t in sorted({r["iteration"] for r in steps})}
    groups = tuple(
        BarGroup(f"iteration {t}", tuple(_clip_bar(t, bin, mine) for bin in range(len(_P_HAT_BINS))))
        for t, mine in by_iteration.items()
    )
    note = "share of trained tokens whose ratio met a clip bound, by how ambiguous the task is"
    panels = (Panel(groups),) if groups else ()
    return BarsFigure(
        "Clipped tokens by p̂", note, "health", _P_HAT_BINS, panels, "p̂", SOLVER, unit=Unit.SHARE, digits=2, wide="two"
    )


def _clip_bar(iteration: int, bin: int, steps: Sequence[Row]) -> Bar:
    """The mean over the steps of an iteration, each weighted by the tokens that it trained in the bin."""
    used = [
        (shares[bin], tokens[bin])
        for row in steps
        if (shares := row.get("clip_fraction_by_p_hat")) and (tokens := row.get("tokens_by_p_hat"))
        if shares[bin] is not None and tokens[bin]
    ]
    tokens_all = sum(tokens for _, tokens in used)
    share = sum(share * tokens for share, tokens in used) / tokens_all if tokens_all else None
    return Bar(share, f"iteration {iteration}, p̂ {_P_HAT_BINS[bin]}: {percent(share, 2)} of tokens clipped")
