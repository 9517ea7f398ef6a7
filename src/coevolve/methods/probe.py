"""The probe: tasks that never change, on which every new executor must show that it did not become worse.

Its tasks are those of the first pool that the tool-verified answers of the base model settle; their labels are frozen
there and no true answer is involved. After each executor phase the new executor answers all of them, with the random
numbers that all others had. Extra rollouts draw from seeds of their own, so nothing else changes by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coevolve.config import Config
from coevolve.methods.base import State, Store
from coevolve.methods.labels import label_rewards, verified_label
from coevolve.methods.metrics import sampled_entropy
from coevolve.methods.questions import task_of
from coevolve.rollout.base import PolicyWeights
from coevolve.rollout.policy import Policy
from coevolve.rollout.seeds import seed_of
from coevolve.statistics import MIN_TASKS, PAIRED_COVERAGE, Comparison, paired_comparison
from coevolve.types import SOLVER, LabelledTask, Task, Trajectory

TASKS = "probe/tasks.parquet"
CI = f"ci{100 * PAIRED_COVERAGE:.0f}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the executors stand after an iteration."""

    best: int  # iteration of the executor with the highest agreement, 0 for the base model
    agreement: tuple[float, ...]  # its share of agreeing answers by task, NaN where the sandbox lost them all
    present: int  # iteration whose training made the executor that goes on


def freeze_probe(state: State, tasks: Sequence[Task], answers: Sequence[Sequence[Trajectory]]) -> list[Path]:
    """Choose the probe's tasks from the first pool and write them down; returns the file.

    Args:
        tasks: of the pool, in order; the first ``health.probe`` that have a verified label are taken.
        answers: of the base model, by task.
    """
    found = (verified_label(task, group, judge=state.judge) for task, group in zip(tasks, answers, strict=True))
    chosen = [task for task in found if task is not None][: state.config.health.probe]
    if len(chosen) < MIN_TASKS:
        state.progress.note(
            f"{len(chosen)} tasks of the first pool suit the probe, {MIN_TASKS} are needed: "
            "no executor will be called worse than the one before"
        )
    state.listener.on_probe(chosen)
    rows = [{"task_id": x.task.id, "question": x.task.question, "label": x.label, "p_hat": x.p_hat} for x in chosen]
    return [state.store.write_table(TASKS, rows)]


def keep_or_roll_back(state: State, iteration: int, policy: Policy, folder: str) -> list[Path]:
    """Save the new executor, or the last good one when the new one is worse; returns what was written.

    A rejected executor is kept beside it: nothing is lost.

    Args:
        folder: where the executor of this iteration belongs.
    """
    files, rejected = _compare(state, iteration, policy.weights()) if state.config.health.probe else ([], False)
    if not rejected:
        return [*files, state.store.save_folder(folder, lambda path: policy.save(path, optimizer=False))]
    section = state.config.solver
    last_good = state.open_trainer(
        state.checkpoints.folder(SOLVER, iteration - 1),
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        resume=False,
        reference=None,
    )
    return [
        *files,
        state.store.save_folder(f"{folder}-rejected", lambda path: policy.save(path, optimizer=False)),
        state.store.save_folder(folder, lambda path: last_good.save(path, optimizer=False)),
    ]


def trained_in(config: Config, store: Store, iteration: int) -> int:
    """The iteration whose training made the executor that an iteration ended with: an earlier one after a rollback."""
    if iteration == 0 or config.health.probe == 0 or not config.solver.train or not store.read_table(TASKS):
        return iteration
    return int(str(store.read_table(f"probe/iteration-{iteration}.parquet")[0]["present"]))


def standing_after(rows: Sequence[dict[str, object]]) -> Standing:
    """How the executors stand after the iteration that wrote these rows, see the probe tables."""
    new, best = (np.array([float(str(row[key])) for row in rows]) for key in ("agreement", "best_agreement"))
    first = rows[0]
    iteration, best_iteration, present = (int(str(first[key])) for key in ("iteration", "best", "present"))
    if present == iteration and _mean(new) >= _mean(best):
        return Standing(iteration, tuple(new), present)
    return Standing(best_iteration, tuple(best), present)


def _compare(state: State, t: int, weights: PolicyWeights) -> tuple[list[Path], bool]:
    """Measure the new executor against the best so far; returns the table and whether to roll back."""
    tasks = _tasks(state)
    if not tasks:
        return [], False
    before = _standing_before(state, t, tasks)
    answers = _answers(state, weights, tasks)
    agreement = _agreement(state, tasks, answers)
    first = paired_comparison(agreement, before.agreement)
    # The best so far is the best also by luck, so a bad first look is not believed before a fresh one of both.
    second = _second_look(state, tasks, weights, before.best) if first.worse else None
    worse = second is not None and second.worse
    rejected = worse and state.config.health.rollback
    present = before.present if rejected else t
    state.store.log(
        _facts(state, t, answers)
        | {
            "tasks": len(tasks),
            "agreement": _mean(np.array(agreement)),
            "best": before.best,
            "best_agreement": _mean(np.array(before.agreement)),
            "difference": first.difference,
            CI: [first.low, first.high],
            "second_difference": second.difference if second else None,
            f"second_{CI}": [second.low, second.high] if second else None,
            "worse": worse,
        }
    )
    if second and rejected:
        _tell(state, t, before, second)
    rows = [
        {
            "iteration": t,
            "task_id": task.task.id,
            "agreement": new,
            "best_agreement": old,
            "best": before.best,
            "present": present,
        }
        for task, new, old in zip(tasks, agreement, before.agreement, strict=True)
    ]
    return [state.store.write_table(f"probe/iteration-{t}.parquet", rows)], rejected


def _standing_before(state: State, t: int, tasks: Sequence[LabelledTask]) -> Standing:
    if t > 1:
        return standing_after(state.store.read_table(f"probe/iteration-{t - 1}.parquet"))
    base = _answers(state, state.checkpoints.weights(SOLVER, 0), tasks)
    return Standing(0, tuple(_agreement(state, tasks, base)), 0)


def _second_look(state: State, tasks: Sequence[LabelledTask], weights: PolicyWeights, best: int) -> Comparison:
    """The comparison with fresh answers of both."""
    both = (weights, state.checkpoints.weights(SOLVER, best))
    new, old = (_agreement(state, tasks, _answers(state, one, tasks, look=2)) for one in both)
    return paired_comparison(new, old)


def _answers(
    state: State, weights: PolicyWeights, tasks: Sequence[LabelledTask], look: int = 1
) -> list[tuple[Trajectory, ...]]:
    seed = seed_of(state.config.seed, "probe", look)  # the same for all executors: what differs is the executor
    return state.rollouts.solve(weights, [x.task for x in tasks], state.config.health.probe_samples, seed=seed)


def _agreement(state: State, tasks: Sequence[LabelledTask], answers: Sequence[Sequence[Trajectory]]) -> list[float]:
    """By task, the share of answers that are the frozen label, of those that the sandbox did not lose."""
    with state.spent.grading():
        heard = [[x for x in group if not x.lost] for group in answers]
        return [_mean(label_rewards(task, x, judge=state.judge)) for task, x in zip(tasks, heard, strict=True)]


def _facts(state: State, t: int, answers: Sequence[Sequence[Trajectory]]) -> dict[str, object]:
    flat = [x for group in answers for x in group]
    return {
        "event": "probe",
        "iteration": t,
        "samples": state.config.health.probe_samples,
        "solver_entropy": sampled_entropy(flat),
        "tool_calls": float(np.mean([len(x.tool_calls) for x in flat])),
        "tokens_sampled": sum(x.sampled for x in flat),
    }


def _tell(state: State, t: int, before: Standing, found: Comparison) -> None:
    """Write a rollback down, and say it loudly."""
    facts = {"best": before.best, "difference": found.difference, CI: [found.low, found.high]}
    text = (
        f"of the probe's labels the new executor agrees with "
        f"{-100 * found.difference:.0f} points fewer than {_named(before.best)} "
        f"({100 * PAIRED_COVERAGE:.0f} % interval {-100 * found.high:.0f} to {-100 * found.low:.0f}). "
        f"{_named(before.present).capitalize()} goes on; "
        f"the rejected weights are kept in checkpoints/iteration-{t}/solver-rejected"
    )
    state.store.log({"event": "rollback", "iteration": t, "to": before.present, "text": text} | facts)
    state.progress.note(f"ROLLBACK in iteration {t}: {text}")


def _named(iteration: int) -> str:
    return f"the executor of iteration {iteration}" if iteration else "the base model"


def _tasks(state: State) -> list[LabelledTask]:
    return [
        LabelledTask(
            task_of(state.world, state.config, str(row["task_id"]), str(row["question"]), 1),
            str(row["label"]),
            float(str(row["p_hat"])),
        )
        for row in state.store.read_table(TASKS)
    ]


def _mean(values: np.ndarray) -> float:
    """The mean of what is a number; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
