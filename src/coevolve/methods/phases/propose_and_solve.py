"""The phase of Absolute Zero: one policy proposes and solves, and learns from both in one update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from coevolve.curriculum.learnability import r_propose, r_solve
from coevolve.learning.advantages import keyed
from coevolve.learning.guard import warmup_lr
from coevolve.learning.rows import Lesson, minibatch_rows
from coevolve.methods.absolute_zero_config import AbsoluteZeroState as State
from coevolve.methods.base import open_policy, train_steps
from coevolve.methods.metrics import train_facts
from coevolve.methods.phases.propose_and_solve_report import (
    PHASE,
    Proposed,
    Solved,
    propose_and_solve_report,
    shown_facts,
    step_facts,
)
from coevolve.methods.reporting import IDS, Labels, PhaseCost
from coevolve.methods.triplets import Learnable, Rings, Triplets
from coevolve.rollout.asking import solve, write
from coevolve.rollout.policy import Policy
from coevolve.rollout.seeds import seed_of
from coevolve.types import SOLVER, Batch, Origin, StopReason, TrainStats, Trajectory
from coevolve.worlds.base import PromptContext
from coevolve.worlds.code.items import ABDUCTION, DEDUCTION, INDUCTION, KINDS, Proposal, Triplet, is_reserved
from coevolve.worlds.code.judging import Verdict, Work, judge, validated
from coevolve.worlds.code.learner import CodeWorld


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one proposal is asked for: the type, and the program that an induction task is about."""

    context: PromptContext
    program: str = ""


class ProposeAndSolve:
    """Some steps of: propose, validate, find what is learnable, solve, update."""

    by_steps = True

    def __init__(self, iteration: int, steps: int, earlier: Sequence[int] = (), labels: Labels = IDS) -> None:
        """
        Args:
            iteration: counted from 1.
            steps: of this iteration.
            earlier: steps of each iteration before it.
            labels: what the method calls its agents, by id.
        """
        self.iteration, self.steps, self._earlier = iteration, steps, earlier
        self.report = propose_and_solve_report(labels)

    def cost(self, config: Any) -> PhaseCost:
        """Every text is trained on; every proposal may be a task with answers of its own, that are not."""
        proposed, solved = (3 * self.steps * n for n in (config.propose.texts, config.solve.tasks))
        return PhaseCost(
            proposed,
            proposed * config.propose.samples + solved,
            proposed + solved,
            questions_trained=proposed,
            answers_trained=solved,
            checkpoint_copies=3,
        )

    def run(self, state: State) -> list[Path]:
        """Train from the last iteration's policy, with its optimiser."""
        t = self.iteration
        policy = open_policy(state, SOLVER, t, state.config.policy, resume=t > 1, reference=None)
        triplets = Triplets(state.store, t, self._earlier, state.config.buffer.capacity)
        train_steps(state, policy, self.steps, lambda step: self._step(state, policy, triplets, step))
        folder = f"checkpoints/iteration-{t}/solver"
        saved = state.store.save_folder(folder, lambda path: policy.save(path, optimizer=True))
        return [saved, *triplets.files(self.steps)]

    def _step(self, state: State, policy: Policy, triplets: Triplets, step: int) -> None:
        config, t = state.config, self.iteration
        seed = seed_of(config.seed, PHASE, t, step)
        rings = triplets.before(step)
        asked = ask_for(rings, config.propose.texts, config.propose.shown, seed_of(seed, "shown"))
        texts = write(state.rollouts, policy.weights(), len(asked), seed=seed, context=[one.context for one in asked])
        gap = policy.check_logprobs(texts)
        proposed = self._learnability(state, policy, self._validated(state, asked, texts), seed_of(seed, "learnable"))
        valid = [one for one in proposed if one.triplet is not None and not one.reserved]
        new = {one.triplet.proposal.key: one.triplet for one in valid if one.triplet is not None}
        tasks = tasks_of(rings, list(new.values()), config.solve.tasks, seed_of(seed, "tasks"))
        counts = triplets.add(step, [Learnable(one.triplet, one.solved) for one in valid if one.triplet is not None])
        solved = self._solved(state, policy, tasks, seed_of(seed, "solve"))
        state.rollouts.release_memory()
        stats = self._update(state, policy, proposed, solved, step)
        facts = {"event": f"{PHASE}_step", "iteration": t, "step": step + 1, "steps": self.steps}
        facts |= step_facts(proposed, solved, counts, {kind: len(ring) for kind, ring in rings.items()}, gap)
        facts |= train_facts(stats, 0.0, config.policy.dual_clip)
        state.store.log(facts)
        state.progress.step(step + 1, shown_facts(facts))

    def _validated(self, state: State, asked: Sequence[_Asked], texts: Sequence[Trajectory]) -> list[Proposed]:
        """What was proposed, as the sandbox finds it: programs run twice."""
        read = [_read(_world(state), one, text) for one, text in zip(asked, texts, strict=True)]
        proposals = [one for one in read if one is not None]
        with state.spent.grading():
            found = iter(validated(_world(state).runner, proposals))
        ill, wrong = state.config.solve.ill_formed, state.config.solve.wrong
        out: list[Proposed] = []
        for one, text, proposal in zip(asked, texts, read, strict=True):
            triplet = next(found) if proposal is not None else None
            reserved = triplet is not None and is_reserved(triplet.proposal.program)
            reward = ill if proposal is None else wrong if triplet is None else state.config.propose.unlearnable
            out.append(Proposed(one.context.kind, text, triplet, reserved, None, reward))
        return out

    def _learnability(self, state: State, policy: Policy, proposed: list[Proposed], seed: int) -> list[Proposed]:
        """The proposals with the share of right answers of those that may be trained on, and their rewards."""
        section = state.config.propose
        open_ones = [i for i, one in enumerate(proposed) if one.triplet is not None and not one.reserved]
        triplets = [triplet for i in open_ones if (triplet := proposed[i].triplet) is not None]
        verdicts = self._answered(state, policy, triplets, section.samples, seed)[1]
        for i, given in zip(open_ones, verdicts, strict=True):
            share = sum(verdict is Verdict.RIGHT for verdict in given) / len(given)
            reward = r_propose(share, unlearnable=section.unlearnable)
            proposed[i] = replace(proposed[i], solved=share, reward=reward)
        return proposed

    def _solved(self, state: State, policy: Policy, triplets: Sequence[Triplet], seed: int) -> list[Solved]:
        """One answer to each task, with its reward."""
        section = state.config.solve
        answers, verdicts = self._answered(state, policy, triplets, 1, seed)
        out: list[Solved] = []
        for triplet, (answer,), (verdict,) in zip(triplets, answers, verdicts, strict=True):
            reward = r_solve(
                well_formed=verdict is not Verdict.ILL_FORMED,
                right=verdict is Verdict.RIGHT,
                wrong=section.wrong,
                ill_formed=section.ill_formed,
            )
            out.append(Solved(triplet.proposal.kind, answer, verdict, reward))
        return out

    def _answered(
        self, state: State, policy: Policy, triplets: Sequence[Triplet], samples: int, seed: int
    ) -> tuple[list[tuple[Trajectory, ...]], list[list[Verdict]]]:
        """``samples`` answers to each task, and what the sandbox says of them."""
        origin = Origin(state.config.method, SOLVER, self.iteration)
        tasks = [triplet.task(f"p{self.iteration}-{seed}-{n}", origin) for n, triplet in enumerate(triplets)]
        answers = solve(state.rollouts, policy.weights(), tasks, samples, seed=seed) if tasks else []
        works = [
            Work(triplet.proposal, triplet.outputs, answer.answer)
            for triplet, group in zip(triplets, answers, strict=True)
            for answer in group
        ]
        with state.spent.grading():
            flat = judge(_world(state).runner, works)
        return answers, [flat[i : i + samples] for i in range(0, len(flat), samples)]

    def _update(
        self,
        state: State,
        policy: Policy,
        proposed: Sequence[Proposed],
        solved: Sequence[Solved],
        step: int,
    ) -> list[TrainStats]:
        """Advantages with a baseline for each role and type, minibatches over all texts together."""
        config, section = state.config, state.config.policy
        texts: list[Proposed | Solved] = [*proposed, *solved]
        advantages = keyed([one.reward for one in texts], [one.key for one in texts])
        lessons = [
            Lesson(one.trajectory, float(a), section.clip_low, section.clip_high)
            for one, a in zip(texts, advantages, strict=True)
            if not one.trajectory.lost
        ]
        longest = max(config.sampling.max_tokens, config.sampling.question_tokens)
        order = np.random.default_rng(seed_of(config.seed, "order", self.iteration, step)).permutation(len(lessons))
        batches, lrs = [], []
        for n, part in enumerate(np.array_split(order, section.minibatches)):
            rows = minibatch_rows([lessons[i] for i in part], section.loss, longest, section.micro_batch)
            batches.append(Batch(tuple(rows), dual_clip=section.dual_clip))
            warmup = section.warmup if self.iteration == 1 else 0
            lrs.append(warmup_lr(step * section.minibatches + n, section.lr, warmup))
        return policy.update(batches, lrs)


def ask_for(rings: Rings, texts: int, shown: int, seed: int) -> list[_Asked]:
    """What the proposals of a step are asked for, ``texts`` of each type.

    Source: Absolute Zero (arXiv 2505.03335), section 3.3.1: a deduction or abduction task follows on K earlier ones of
    its type, an induction task is about one program of either.
    """
    rng = np.random.default_rng(seed)
    programs = [one.proposal.program for kind in (DEDUCTION, ABDUCTION) for one in rings[kind].held]
    out: list[_Asked] = []
    for kind in KINDS:
        for _ in range(texts):
            if kind == INDUCTION:
                program = programs[int(rng.integers(len(programs)))]
                out.append(_Asked(PromptContext(examples=(program,), kind=kind), program))
            else:
                examples = tuple(one.shown for one in rings[kind].drawn(shown, rng))
                out.append(_Asked(PromptContext(examples=examples, kind=kind)))
    return out


def tasks_of(rings: Rings, new: Sequence[Triplet], n: int, seed: int) -> list[Triplet]:
    """The tasks that a step solves, at most ``n`` of each type: the new ones first, then earlier ones, uniformly."""
    rng = np.random.default_rng(seed)
    out: list[Triplet] = []
    for kind in KINDS:
        fresh = [one for one in new if one.proposal.kind == kind]
        chosen = [fresh[i] for i in rng.permutation(len(fresh))[:n]]
        keys = {one.proposal.key for one in fresh}
        earlier = [one for one in rings[kind].drawn(n + len(keys), rng) if one.proposal.key not in keys]
        out += [*chosen, *earlier[: n - len(chosen)]]
    return out


def _read(world: CodeWorld, asked: _Asked, text: Trajectory) -> Proposal | None:
    """The task that a text proposes; None where it has not the required form."""
    try:
        return world.proposal(asked.context.kind, asked.program, text.text) if text.stop is StopReason.EOS else None
    except ValueError:
        return None


def _world(state: State) -> CodeWorld:
    assert isinstance(state.world, CodeWorld), "the configuration saw to it"
    return state.world
