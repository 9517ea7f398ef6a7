"""What the training of a solver tells: the facts of a step and of the rollback check, and where they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from coevolve.methods.metrics import mean, sampled_entropy, training_alarms, unrun_facts, without_advantage
from coevolve.methods.phases.figures import solver_figures
from coevolve.methods.reporting import (
    Better,
    Finding,
    Labels,
    PhaseReport,
    Quantity,
    Row,
    Seen,
    Summary,
    Unit,
    listed,
    number,
    part_of,
    percent,
    series,
    two_digits,
)
from coevolve.statistics import PAIRED_COVERAGE, Comparison
from coevolve.types import SOLVER, LabelledTask, Trajectory

EXECUTOR = "executor"
STEP, SKIPPED, PROBE, ROLLBACK = f"{EXECUTOR}_step", f"{EXECUTOR}_skipped", "probe", "rollback"
CI = f"ci{100 * PAIRED_COVERAGE:.0f}"

Answered = tuple[LabelledTask, tuple[Trajectory, ...]]

TOOL_LEFT = 0.1  # of the tool calls per answer of the best step so far
TOOL_NEVER = 0.02  # tool calls per answer of a solver that does not know its tool
TOOL_USED = 0.2  # tool calls per answer, below which the tool was hardly used in the first place


def step_facts(
    batch: Sequence[Answered], rewards: Sequence[np.ndarray], zero_groups: int, gap: float | None
) -> dict[str, object]:
    """What a step found before its update, without what a meter adds.

    Args:
        batch: tasks with their answers.
        rewards: of the answers, by task.
        zero_groups: tasks of which no answer was better than another.
        gap: the largest difference between the sampler's and the trainer's log-probability; None where not checked.
    """
    answers = [x for _, group in batch for x in group]
    return {
        "reward": float(np.mean(np.concatenate(rewards))),
        "zero_groups": zero_groups,
        "tool_calls": mean([len(x.tool_calls) for x in answers]),
        "infrastructure": sum(x.lost for x in answers),
        **unrun_facts(answers),
        "tokens_sampled": sum(x.sampled for x in answers),
        "max_logp_gap": gap,
    }


def shown_facts(row: Row, *, learns: bool) -> dict[str, object]:
    """What a step shows while the phase goes on; ``learns``: some answer was rewarded above another to its task."""
    shown = {"reward": row["reward"], "clip": row["clip_fraction"], "tool calls": row["tool_calls"]}
    return shown | {"advantage": None if learns else "none"}


def probe_facts(iteration: int, samples: int, answers: Sequence[Sequence[Trajectory]]) -> dict[str, object]:
    """How a solver answered the fixed tasks of the rollback check, ``samples`` times each."""
    flat = [x for group in answers for x in group]
    return {
        "event": PROBE,
        "iteration": iteration,
        "samples": samples,
        "solver_entropy": sampled_entropy(flat),
        "tool_calls": mean([len(x.tool_calls) for x in flat]),
        "tokens_sampled": sum(x.sampled for x in flat),
    }


def comparison_facts(first: Comparison, second: Comparison | None) -> dict[str, object]:
    """The first look at the new solver against the best so far, and the second one where there was need of it."""
    return {
        "difference": first.difference,
        CI: [first.low, first.high],
        "second_difference": second.difference if second else None,
        f"second_{CI}": [second.low, second.high] if second else None,
    }


def rollback_facts(iteration: int, best: int, kept: int, found: Comparison, solver: str) -> dict[str, object]:
    """The row of a rollback, with what to tell a person.

    Args:
        best: iteration of the best solver so far, which the new one was compared with; 0 is the base model.
        kept: iteration whose training made the solver that goes on.
        solver: what the method calls the agent.
    """
    text = (
        f"of the probe's labels the new {solver} agrees with "
        f"{-100 * found.difference:.0f} points fewer than {_named(best, solver)} "
        f"({100 * PAIRED_COVERAGE:.0f} % interval {-100 * found.high:.0f} to {-100 * found.low:.0f}). "
        f"{_named(kept, solver).capitalize()} goes on; "
        f"the rejected weights are kept in checkpoints/iteration-{iteration}/solver-rejected"
    )
    return {
        "event": ROLLBACK,
        "iteration": iteration,
        "to": kept,
        "text": text,
        "best": best,
        "difference": found.difference,
        CI: [found.low, found.high],
    }


def _named(iteration: int, solver: str) -> str:
    return f"the {solver} of iteration {iteration}" if iteration else "the base model"


def solver_report(labels: Labels) -> PhaseReport:
    """The report of the phase for a method that calls its agents so."""
    solver = labels[SOLVER]
    return PhaseReport(
        name=EXECUTOR,
        title=solver,
        activity=f"training the {solver}",
        share=2.0,
        headline=_headline,
        summary=_parts,
        quantities=_QUANTITIES,
        step_event=STEP,
        step_facts=(("reward", "reward"), ("true_accuracy", "true accuracy"), ("tool_calls", "tool calls")),
        notices={ROLLBACK: "Rolled back"},
        alarms={
            **training_alarms(STEP, EXECUTOR, solver),
            "tool unused": partial(_tool_unused, solver),
            "no gradient": partial(_no_gradient, solver),
            f"{EXECUTOR} without advantage": partial(_no_advantage, solver),
            "worse": partial(_worse, solver),
            "rolled back again": partial(_again, solver),
        },
        figures=(partial(solver_figures, STEP),),
        agent=SOLVER,
        findings=(partial(_rewarded, solver), partial(_probe, solver)),
    )


_PART = ("reward", "true_accuracy", "clip_fraction_by_p_hat", "entropy", "kl", "step", "steps")


def _parts(rows: Sequence[Row], iteration: int) -> dict[str, object]:
    seen = Seen(rows, iteration)
    return {
        EXECUTOR: part_of(seen.last(STEP), _PART, rest=False),
        PROBE: part_of(seen.last(PROBE)),
        ROLLBACK: part_of(seen.last(ROLLBACK)),
    }


def _quantity(key: str, name: str, heading: str, better: Better, meaning: str) -> Quantity:
    path, metric = (EXECUTOR, name), f"{STEP}/{name}"
    return Quantity(key, heading, path, Unit.SHARE, better, 1, default=False, meaning=meaning, metric=metric)


_OF_LAST = "answers of the last training step that"
_QUANTITIES = (
    _quantity("solver_reward", "reward", "reward", Better.NEITHER, f"{_OF_LAST} agree with the pseudo-label"),
    _quantity("true_accuracy", "true_accuracy", "true accuracy", Better.HIGHER, f"{_OF_LAST} are right"),
)


def _headline(rows: Sequence[Row], iteration: int) -> str:
    seen = Seen(rows, iteration)
    row, rollback = seen.last(STEP), seen.last(ROLLBACK)
    if not row:
        return "no task was kept; unchanged"
    accuracy = row.get("true_accuracy")
    return (
        f"reward {two_digits(row.get('reward'))}"
        + (f" · true accuracy {percent(accuracy)}" if accuracy is not None else "")
        + f" · clipped {percent(row.get('clip_fraction'), 1)}"
        + (f" · ROLLED BACK to iteration {rollback['to']}" if rollback else "")
    )


def _tool_unused(solver: str, seen: Seen) -> str:
    used = [number(r, "tool_calls") for r in seen.all(STEP)]
    now = [number(r, "tool_calls") for r in seen.now(STEP)]
    if not now:
        return ""
    if max(used) < TOOL_USED:
        with_tool = seen.config is not None and seen.config.has_tool(SOLVER)
        never = f"the {solver} never used the tool: {max(used):.2f} calls per answer at its best"
        return never + _unrun(seen) if with_tool and max(used) < TOOL_NEVER else ""
    if now[-1] >= TOOL_LEFT * max(used):
        return ""
    counts = f"{now[-1]:.2f} calls per answer, {max(used):.2f} at its best"
    return f"the {solver} stopped using the tool: {counts}{_unrun(seen)}"


def _unrun(seen: Seen) -> str:
    """Programs that were closed in the answers of this iteration's steps and never ran."""
    count = sum(number(r, "unrun") for r in seen.now(STEP))
    return f"; {count:.0f} programs were closed and never ran (tool.call_at)" if count else ""


def _no_gradient(solver: str, seen: Seen) -> str:
    steps = seen.now(STEP)
    if not steps or any(r.get("tokens_trained") for r in steps):
        return ""
    return f"the {solver} learned nothing: in no group of answers was one better than another"


def _no_advantage(solver: str, seen: Seen) -> str:
    if seen.config is None or _no_gradient(solver, seen):  # which says it of all steps
        return ""
    return without_advantage(seen, STEP, solver, seen.config.solver.tasks)


def _worse(solver: str, seen: Seen) -> str:
    row = seen.last(PROBE)
    if not row.get("worse") or seen.now(ROLLBACK):
        return ""
    return (
        f"the {solver} became worse on the probe: {percent(row['agreement'])} of its answers agree, "
        f"{percent(row['best_agreement'])} of the best one's; health.rollback is off, so it goes on"
    )


def _again(solver: str, seen: Seen) -> str:
    times = len(seen.all(ROLLBACK))
    if times < 2 or not seen.now(ROLLBACK):
        return ""
    return f"the {solver} was rolled back again, {times} times so far: what it is taught makes it worse"


def _rewarded(solver: str, summary: Summary, rows: Sequence[Row]) -> Finding | None:
    reward, right = (dict(series(summary, EXECUTOR, key)) for key in ("reward", "true_accuracy"))
    both = sorted(set(reward) & set(right))
    if not both:
        return None
    last = both[-1]
    text = (
        f"In the last step of iteration {last} the {solver} agreed with {percent(reward[last], 1)} of the labels "
        f"and was right in {percent(right[last], 1)} (known to the meter only)."
    )
    if reward[last] - right[last] <= 0.15:
        return Finding("good", "Reward agrees with the truth", text)
    return Finding("watch", "A part of what is rewarded is wrong", text)


def _probe(solver: str, summary: Summary, rows: Sequence[Row]) -> Finding | None:
    found = [row for row in rows if row.get("event") == PROBE]
    if not found:
        return None
    base = (0, float(found[0]["best_agreement"]))
    values = [base, *((int(row["iteration"]), float(row["agreement"])) for row in found)]
    text = f"Answers that agree with the fixed labels of {found[-1]['tasks']} tasks, by iteration: {listed(values)}."
    worse = ", ".join(str(row["iteration"]) for row in found if row["worse"])
    if worse:
        return Finding("bad", f"The {solver} became worse on the probe in iteration {worse}", text)
    return Finding("good", f"No {solver} became worse on the probe", text)
