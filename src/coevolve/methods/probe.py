"""The probe: tasks that never change, on which every new executor must show that it did not become worse.

Its tasks are those of the first pool that the tool-verified answers of the base model settle; their labels are frozen
there and no true answer is involved. After each executor phase the new executor answers all of them, with the random
numbers that all others had. Extra rollouts draw from seeds of their own, so nothing else changes by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from coevolve.methods.base import Store
from coevolve.methods.config import CoevolutionState as State
from coevolve.methods.labels import label_rewards, verified_label
from coevolve.methods.phases.solver_report import comparison_facts, probe_facts, rollback_facts
from coevolve.methods.questions import refusal_of, task_of
from coevolve.rollout.asking import solve
from coevolve.rollout.base import Snapshot
from coevolve.rollout.policy import Policy
from coevolve.rollout.seeds import seed_of
from coevolve.statistics import MIN_TASKS, Comparison, paired_comparison
from coevolve.types import SOLVER, LabelledTask, Task, Trajectory

TASKS = "probe/tasks.parquet"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the executors stand after an iteration."""

    best: int  # iteration of the executor with the highest agreement, 0 for the base model
    agreement: tuple[float, ...]  # its share of agreeing answers by task, NaN where the sandbox lost them all
    present: int  # iteration whose training made the executor that goes on


@dataclass(frozen=True, slots=True)
class ProbeTask:
    """A row of ``probe/tasks.parquet``: a task whose label is frozen."""

    task_id: str
    question: str
    label: str
    p_hat: float


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """A row of ``probe/iteration-t.parquet``: how the new executor and the best so far answer one task."""

    iteration: int
    task_id: str
    agreement: float  # share of the new executor's answers that are the label, NaN where the sandbox lost them all
    best_agreement: float
    best: int  # iteration of the best executor before this one
    present: int  # iteration whose training made the executor that goes on


def freeze_probe(state: State, tasks: Sequence[Task], answers: Sequence[Sequence[Trajectory]]) -> list[Path]:
    """Choose the probe's tasks from the first pool and write them down; returns the file.

    Args:
        tasks: of the pool, in order; the first ``health.probe`` that have a verified label are taken.
        answers: of the base model, by task.
    """
    refusal = refusal_of(state.world)
    found = (
        verified_label(task, group, judge=state.judge, refusal=refusal)
        for task, group in zip(tasks, answers, strict=True)
    )
    chosen = [task for task in found if task is not None][: state.config.health.probe]
    if len(chosen) < MIN_TASKS:
        state.progress.note(
            f"rollback check off: only {len(chosen)} tasks qualify as probe tasks, {MIN_TASKS} are needed"
        )
    state.observer.on_labels(chosen, {"event": "probe_tasks", "iteration": 1, "tasks": len(chosen)})
    rows = [asdict(ProbeTask(x.task.id, x.task.question, x.label, x.p_hat)) for x in chosen]
    return [state.store.write_table(TASKS, rows)]


def keep_or_roll_back(state: State, iteration: int, policy: Policy, folder: str, label: str) -> list[Path]:
    """Save the new executor, or the last good one when the new one is worse; returns what was written.

    A rejected executor is kept beside it: nothing is lost.

    Args:
        folder: where the executor of this iteration belongs.
        label: what the method calls it.
    """
    files, rejected = _compare(state, iteration, policy.weights(), label) if state.config.health.probe else ([], False)
    if not rejected:
        return [*files, state.store.save_folder(folder, lambda path: policy.save(path, optimizer=False))]
    last_good = state.open_trainer(
        state.checkpoints.folder(SOLVER, iteration - 1),
        state.config.solver,
        state.config.sampling.of(SOLVER),
        resume=False,
        reference=None,
    )
    return [
        *files,
        state.store.save_folder(f"{folder}-rejected", lambda path: policy.save(path, optimizer=False)),
        state.store.save_folder(folder, lambda path: last_good.save(path, optimizer=False)),
    ]


def trained_in(store: Store, iteration: int) -> int:
    """The iteration whose training made the executor that an iteration ended with: an earlier one after a rollback."""
    rows = read_rows(store, iteration) if iteration and store.read_table(TASKS) else []
    return rows[0].present if rows else iteration


def read_rows(store: Store, iteration: int) -> list[ProbeRow]:
    """What an iteration wrote down, one row per task of the probe."""
    return [ProbeRow(**row) for row in store.read_table(_table_of(iteration))]


def standing_after(rows: Sequence[ProbeRow]) -> Standing:
    """How the executors stand after the iteration that wrote these rows."""
    first = rows[0]
    new, best = [row.agreement for row in rows], [row.best_agreement for row in rows]
    if first.present == first.iteration and _mean(new) >= _mean(best):
        return Standing(first.iteration, tuple(new), first.present)
    return Standing(first.best, tuple(best), first.present)


def _compare(state: State, t: int, weights: Snapshot, label: str) -> tuple[list[Path], bool]:
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
    compared = {
        "tasks": len(tasks),
        "agreement": _mean(agreement),
        "best": before.best,
        "best_agreement": _mean(before.agreement),
        **comparison_facts(first, second),
        "worse": worse,
    }
    state.store.log(probe_facts(t, state.config.health.probe_samples, answers) | compared)
    if second and rejected:
        rollback = rollback_facts(t, before.best, before.present, second, label)
        state.store.log(rollback)
        state.progress.note(f"ROLLBACK in iteration {t}: {rollback['text']}")
    rows = [
        asdict(ProbeRow(t, task.task.id, new, old, before.best, present))
        for task, new, old in zip(tasks, agreement, before.agreement, strict=True)
    ]
    return [state.store.write_table(_table_of(t), rows)], rejected


def _table_of(iteration: int) -> str:
    return f"probe/iteration-{iteration}.parquet"


def _standing_before(state: State, t: int, tasks: Sequence[LabelledTask]) -> Standing:
    if t > 1:
        return standing_after(read_rows(state.store, t - 1))
    base = _answers(state, state.checkpoints.weights(SOLVER, 0), tasks)
    return Standing(0, tuple(_agreement(state, tasks, base)), 0)


def _second_look(state: State, tasks: Sequence[LabelledTask], weights: Snapshot, best: int) -> Comparison:
    """The comparison with fresh answers of both."""
    both = (weights, state.checkpoints.weights(SOLVER, best))
    new, old = (_agreement(state, tasks, _answers(state, one, tasks, look=2)) for one in both)
    return paired_comparison(new, old)


def _answers(
    state: State, weights: Snapshot, tasks: Sequence[LabelledTask], look: int = 1
) -> list[tuple[Trajectory, ...]]:
    seed = seed_of(state.config.seed, "probe", look)  # the same for all executors: what differs is the executor
    return solve(state.rollouts, weights, [x.task for x in tasks], state.config.health.probe_samples, seed=seed)


def _agreement(state: State, tasks: Sequence[LabelledTask], answers: Sequence[Sequence[Trajectory]]) -> list[float]:
    """By task, the share of answers that are the frozen label, of those that the sandbox did not lose."""
    with state.spent.grading():
        heard = [[x for x in group if not x.lost] for group in answers]
        return [_mean(label_rewards(task, x, judge=state.judge)) for task, x in zip(tasks, heard, strict=True)]


def _tasks(state: State) -> list[LabelledTask]:
    rows = [ProbeTask(**row) for row in state.store.read_table(TASKS)]
    origin, turns = state.config.origin(1), state.config.dialogue.turns
    return [
        LabelledTask(task_of(state.world, origin, row.task_id, row.question, turns), row.label, row.p_hat)
        for row in rows
    ]


def _mean(values: Sequence[float] | np.ndarray) -> float:
    """The mean of what is a number; NaN where nothing is."""
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    return float(known.mean()) if len(known) else float("nan")
