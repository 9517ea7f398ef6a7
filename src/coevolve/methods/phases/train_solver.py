"""Phase 3 of Agent0: the executor learns from its own majority, by ADPO or plain GRPO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from coevolve.config import at_iteration
from coevolve.learning.advantages import group_relative
from coevolve.learning.guard import warmup_lr
from coevolve.learning.rows import Lesson, minibatch_rows
from coevolve.methods.base import open_policy, train_steps
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.config import CoevolutionState as State
from coevolve.methods.labels import label_rewards, relabelled
from coevolve.methods.metrics import clip_by_bin, refused_facts, sampled_entropy, train_facts
from coevolve.methods.own import Shape, shape_of
from coevolve.methods.phases.fill_pool import kept_tasks
from coevolve.methods.phases.solver_report import (
    EXECUTOR,
    SKIPPED,
    STEP,
    Answered,
    shown_facts,
    solver_report,
    step_facts,
)
from coevolve.methods.probe import keep_or_roll_back
from coevolve.methods.questions import refusal_of
from coevolve.methods.reporting import IDS, Labels, PhaseCost
from coevolve.rollout.asking import solve
from coevolve.rollout.policy import Policy
from coevolve.rollout.seeds import seed_of
from coevolve.types import SOLVER, Batch, LabelledTask, TrainStats, Trajectory

P_HAT_EDGES = (0.3, 0.5, 0.7, 0.8)  # bins of the clip fraction: [0,.3) [.3,.5) [.5,.7) [.7,.8] (.8,1]


class TrainSolver:
    """Some steps of: answer a batch of kept tasks G times, reward agreement with the label, update."""

    by_steps = True

    def __init__(self, config: CoevolutionConfig, iteration: int, labels: Labels = IDS) -> None:
        self.iteration = iteration
        self.report = solver_report(labels)
        self.steps = at_iteration(config.solver.steps, iteration)
        self._label = labels[SOLVER]

    def cost(self, config: CoevolutionConfig) -> PhaseCost:
        """Every answer is trained on."""
        prompts = self.steps * config.solver.tasks
        answers = prompts * config.solver.group_size
        turns = round(answers * config.dialogue.turns_on_average)
        return PhaseCost(answers=answers, prompts=prompts, answers_trained=answers, turns=turns, checkpoint_copies=1)

    def run(self, state: State) -> list[Path]:
        """Train from the last iteration's executor with a new optimiser, and save the weights if they are no worse."""
        section, t = state.config.solver, self.iteration
        start = state.checkpoints.folder(SOLVER, t - 1)
        policy = open_policy(state, SOLVER, t, section, resume=False, reference=start if section.kl > 0 else None)
        tasks = kept_tasks(state, t)
        if tasks:
            batches = self._batches(state, tasks)
            train_steps(state, policy, self.steps, lambda step: self._step(state, policy, batches[step], step))
        else:
            state.progress.note(f"the gate kept no task: the {self._label} stays as it was")
            state.store.log({"event": SKIPPED, "iteration": t, "reason": "the gate kept no task"})
        return keep_or_roll_back(state, t, policy, f"checkpoints/iteration-{t}/solver", self._label)

    def _batches(self, state: State, tasks: Sequence[LabelledTask]) -> list[list[LabelledTask]]:
        """The tasks of every step: of this pool, and a share of ``solver.replay`` from the pools before it."""
        section, t = state.config.solver, self.iteration
        seed = seed_of(state.config.seed, "tasks", t)
        old = [x for i in range(1, t) for x in kept_tasks(state, i)]
        share = min(round(section.tasks * section.replay), section.tasks - 1) if old else 0
        fresh = list(islice(task_batches(tasks, section.tasks - share, seed), self.steps))
        if not share:
            return fresh
        again = islice(task_batches(old, share, seed_of(seed, "replay")), self.steps)
        return [x + y for x, y in zip(fresh, again, strict=True)]

    def _step(self, state: State, policy: Policy, tasks: Sequence[LabelledTask], step: int) -> None:
        config, t = state.config, self.iteration
        seed = seed_of(config.seed, "executor", t, step)
        answers = solve(state.rollouts, policy.weights(), [x.task for x in tasks], config.solver.group_size, seed=seed)
        batch = list(zip(tasks, answers, strict=True))
        gap = policy.check_logprobs([x for group in answers for x in group])
        with state.spent.grading():
            if config.solver.relabel:
                refusal = refusal_of(state.world)
                batch = [(relabelled(task, group, judge=state.judge, refusal=refusal), group) for task, group in batch]
            rewards = [label_rewards(task, group, judge=state.judge) for task, group in batch]
        state.rollouts.release_memory()
        stats, zero_groups = self._update(config, policy, batch, rewards, step)
        facts = {"event": STEP, "iteration": t, "step": step + 1, "steps": self.steps}
        facts |= step_facts(batch, rewards, zero_groups, gap) | train_facts(
            stats, config.solver.kl, config.solver.dual_clip
        )
        facts |= clip_by_bin(stats, len(P_HAT_EDGES) + 1)
        facts |= refused_facts([x for group in answers for x in group], config.grading)
        state.observer.on_answers(EXECUTOR, t, batch, facts)
        state.progress.step(step + 1, shown_facts(facts, learns=zero_groups < len(batch)))

    def _update(
        self,
        config: CoevolutionConfig,
        policy: Policy,
        batch: Sequence[Answered],
        rewards: Sequence[np.ndarray],
        step: int,
    ) -> tuple[list[TrainStats], int]:
        """Advantages per group, minibatches over the shuffled batch; returns statistics and zero-variance groups."""
        section = config.solver
        groups = [
            lessons(shape_of(config.objective, section, config.adpo, task.p_hat), task, group, reward)
            for (task, group), reward in zip(batch, rewards, strict=True)
        ]
        zero = sum(not any(x.advantage for x in group) for group in groups)
        entropy = sampled_entropy([x for _, group in batch for x in group])
        groups = above_the_floor(groups, entropy, section.entropy_floor)
        flat = [x for group in groups for x in group if not x.trajectory.lost]
        order = np.random.default_rng(seed_of(config.seed, "rows", self.iteration, step)).permutation(len(flat))
        batches, lrs = [], []
        for n, part in enumerate(np.array_split(order, section.minibatches)):
            chosen = [flat[i] for i in part]
            rows = minibatch_rows(chosen, section.loss, config.sampling.max_tokens, section.micro_batch)
            bins = len(P_HAT_EDGES) + 1
            batches.append(
                Batch(tuple(rows), section.kl, bins, dual_clip=section.dual_clip, kl_gradient=section.kl_gradient)
            )
            lrs.append(warmup_lr(step * section.minibatches + n, section.lr, section.warmup))
        return policy.update(batches, lrs), zero


def lessons(shape: Shape, task: LabelledTask, group: Sequence[Trajectory], rewards: np.ndarray) -> list[Lesson]:
    """What the trajectories of one task are told; ``shape`` is what the objective makes of the task's p_hat.

    A trajectory lost to the infrastructure teaches nothing, and its reward moves no baseline.
    """
    scale, clip_low, clip_high = shape
    advantages = np.zeros(len(group))
    usable = np.array([not x.lost for x in group])
    advantages[usable] = group_relative(rewards[usable]) * scale
    bin = p_hat_bin(task.p_hat)
    return [Lesson(x, float(a), clip_low, clip_high, bin) for x, a in zip(group, advantages, strict=True)]


def above_the_floor(groups: list[list[Lesson]], entropy: float | None, floor: float) -> list[list[Lesson]]:
    """The lessons as they are; with an entropy below the floor only those that make an answer less probable.

    Those flatten the distribution, while what makes the label more probable sharpens it. Not in the paper.
    """
    if entropy is None or entropy >= floor:
        return groups
    return [[replace(x, advantage=min(x.advantage, 0.0)) for x in group] for group in groups]


def p_hat_bin(p_hat: float) -> int:
    """Index of the p_hat bin in the metrics."""
    a, b, c, d = P_HAT_EDGES
    return (p_hat >= a) + (p_hat >= b) + (p_hat >= c) + (p_hat > d)


def task_batches(tasks: Sequence[LabelledTask], size: int, seed: int) -> Iterator[list[LabelledTask]]:
    """The tasks of :func:`index_batches`."""
    return ([tasks[i] for i in part] for part in index_batches(len(tasks), size, seed))


def index_batches(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches: everything once per pass, in a new order each pass; few things give small batches.

    A batch may lie across two passes. What the old pass left over comes last in the new one, so that nothing is
    twice in a batch.
    """
    rng = np.random.default_rng(seed)
    queue: list[int] = []
    size = min(size, count)
    while True:
        if len(queue) < size:
            order = [int(i) for i in rng.permutation(count)]
            queue += sorted(order, key=queue.__contains__)  # stable; evaluated before the queue grows
        yield queue[:size]
        queue = queue[size:]
