"""Phase 1 of Agent0: GRPO on the curriculum agent while the executor is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from coevolve.config import at_iteration
from coevolve.curriculum.archive import Archive
from coevolve.curriculum.checks import Known
from coevolve.curriculum.rewards import (
    RewardParts,
    count_tool_calls,
    curriculum_reward,
    r_memory,
    r_rep,
    r_tool,
    r_unc,
)
from coevolve.curriculum.similarity import cluster_shares, memory_similarities, shape_shares
from coevolve.curriculum.voting import agrees, pool_votes
from coevolve.grading.equivalence import OWN_RULES, Judge
from coevolve.learning.advantages import keyed
from coevolve.learning.guard import warmup_lr
from coevolve.learning.rows import Lesson, minibatch_rows
from coevolve.methods.base import open_policy, train_steps
from coevolve.methods.checking import what_is_known
from coevolve.methods.config import CoevolutionConfig, RewardSection
from coevolve.methods.config import CoevolutionState as State
from coevolve.methods.metrics import mean, refused_facts, train_facts
from coevolve.methods.own import extra_terms
from coevolve.methods.phases.fill_pool import earlier_questions
from coevolve.methods.phases.proposer_report import STEP, proposer_report, shown_facts, step_facts
from coevolve.methods.polling import poll_for_reward, voters
from coevolve.methods.questions import Written, answers_of, read_questions, refusal_of
from coevolve.methods.remembered import Asked, Remembered
from coevolve.methods.reporting import IDS, Labels, PhaseCost
from coevolve.rollout.asking import subjects, write
from coevolve.rollout.policy import Policy
from coevolve.rollout.seeds import seed_of
from coevolve.types import PROPOSER, Ban, Batch, Group, TrainStats


class TrainProposer:
    """Some steps of: write questions, let the executor vote on them, reward, update."""

    by_steps = True

    def __init__(self, config: CoevolutionConfig, iteration: int, labels: Labels = IDS) -> None:
        self.iteration = iteration
        self.report = proposer_report(labels)
        self.steps = at_iteration(config.proposer.steps, iteration)

    def cost(self, config: CoevolutionConfig) -> PhaseCost:
        """Every text is trained on and may be a question, which every voter answers."""
        section = config.proposer
        texts = self.steps * section.questions
        prompts = texts * len(voters(section.voters, self.iteration, trained=config.solver.train))
        answers = prompts * section.votes
        turns = round(answers * config.dialogue.turns_on_average)
        return PhaseCost(texts, answers, prompts, questions_trained=texts, turns=turns, checkpoint_copies=3)

    def run(self, state: State) -> list[Path]:
        """Train from the last iteration's curriculum agent, and with its optimiser unless a new one is asked for."""
        section, t = state.config.proposer, self.iteration
        reference = state.checkpoints.folder(PROPOSER, 0 if section.reference == "base" else t - 1)
        policy = open_policy(
            state,
            PROPOSER,
            t,
            section,
            resume=t > 1 and not section.fresh_optimizer,
            reference=reference if section.kl > 0 else None,
        )
        archive = Archive(earlier_questions(state.store, t))
        remembered = Remembered(state.store, t) if state.config.reward.remembers else None
        train_steps(state, policy, self.steps, lambda step: self._step(state, policy, archive, remembered, step))
        folder = f"checkpoints/iteration-{t}/proposer"
        saved = state.store.save_folder(folder, lambda path: policy.save(path, optimizer=True))
        return [saved, *(remembered.files(self.steps) if remembered else ())]

    def _step(self, state: State, policy: Policy, archive: Archive, remembered: Remembered | None, step: int) -> None:
        config, t = state.config, self.iteration
        seed = seed_of(config.seed, "curriculum", t, step)
        n = config.proposer.questions
        asked = subjects(state.world.contract, n, seed=seed, group_size=config.proposer.group_size)
        banned = config.proposer.ban(seed_of(seed, "banned"))
        texts = write(state.rollouts, policy.weights(), n, seed=seed, context=asked, bans=[banned] * n)
        gap = policy.check_logprobs(texts, banned)
        written = read_questions(
            state.world,
            texts,
            config.origin(t),
            f"c{t}-{step}",
            turns=config.dialogue.turns,
            own_answer=config.proposer.own_answer,
            asked=asked,
        )
        tasks = [w.task for w in written if w.task is not None]
        by_voter = poll_for_reward(state, tasks, t, seed_of(seed, "votes"))
        with state.spent.grading():
            refusal = refusal_of(state.world)
            heard = [[answers_of(x[n], refusal=refusal) for x in by_voter] for n in range(len(tasks))]
            groups = [
                Group(task, by_voter[0][n], pool_votes(heard[n], judge=state.judge)) for n, task in enumerate(tasks)
            ]
            limits = config.reward.limits()
            known = what_is_known(state, groups) if limits.asked or remembered else []
            before = remembered.before(step) if remembered else ()
            rewards = score_questions(config.reward, t, written, groups, archive, state.judge, known, before)
            if remembered:
                remembered.add(step, [task.question for task in tasks], [one.shape for one in known])
        state.rollouts.release_memory()
        stats, zero_groups = self._update(config, policy, written, rewards, step, banned)
        facts = {"event": STEP, "iteration": t, "step": step + 1, "steps": self.steps}
        facts |= step_facts(written, by_voter, groups, rewards, zero_groups, gap)
        if limits.asked:
            facts["checks_passed"] = mean([one.first_failed(limits) is None for one in known])
        facts |= train_facts(stats, config.proposer.kl, config.proposer.dual_clip)
        facts |= refused_facts([x for answers in by_voter for group in answers for x in group], config.grading)
        state.store.log(facts)
        scored = sum(len(group) for answers in by_voter for group in answers)
        state.progress.step(
            step + 1, shown_facts(facts, scored, learns=zero_groups < len(written) // config.proposer.group_size)
        )

    def _update(
        self,
        config: CoevolutionConfig,
        policy: Policy,
        written: Sequence[Written],
        rewards: Sequence[RewardParts],
        step: int,
        banned: Ban | None = None,
    ) -> tuple[list[TrainStats], int]:
        """GRPO over groups of the batch (all prompts are the same); returns statistics and zero-variance groups."""
        section = config.proposer
        keys = [i // section.group_size for i in range(len(written))]
        advantages = keyed([r.total for r in rewards], keys, baseline=section.baseline)
        zero = sum(not advantages[np.array(keys) == k].any() for k in set(keys))
        lessons = [
            Lesson(w.trajectory, float(a), section.clip_low, section.clip_high)
            for w, a in zip(written, advantages, strict=True)
        ]
        order = np.random.default_rng(seed_of(config.seed, "order", self.iteration, step)).permutation(len(lessons))
        batches, lrs = [], []
        for n, part in enumerate(np.array_split(order, section.minibatches)):
            chosen = [lessons[i] for i in part]
            rows = minibatch_rows(chosen, section.loss, config.sampling.question_tokens, section.micro_batch)
            clip, gradient = section.dual_clip, section.kl_gradient
            batches.append(Batch(tuple(rows), section.kl, dual_clip=clip, kl_gradient=gradient, banned=banned))
            done = step * section.minibatches + n
            new = self.iteration == 1 or section.fresh_optimizer
            lrs.append(warmup_lr(done, section.lr, section.warmup if new else 0))
        return policy.update(batches, lrs), zero


def score_questions(
    section: RewardSection,
    iteration: int,
    written: Sequence[Written],
    groups: Sequence[Group],
    archive: Archive,
    judge: Judge = OWN_RULES,
    known: Sequence[Known] = (),
    before: Sequence[Asked] = (),
) -> list[RewardParts]:
    """The composite reward of every written text (methods: R_C).

    Args:
        written: the whole batch; texts without a task earn nothing.
        groups: voted trajectories, of the texts with a task, in their order.
        archive: questions of earlier iterations, for the novelty term.
        judge: the one that made the votes.
        known: of the groups, where ``section`` asks for checks or for the shapes of their programs.
        before: what was asked in earlier steps and iterations, where ``section`` remembers it.
    """
    asked = [i for i, w in enumerate(written) if w.task is not None]
    questions = [written[i].question for i in asked]
    # The share is of the whole batch: malformed texts form no cluster but count in B.
    shares = cluster_shares(questions, threshold=section.bleu_threshold, mask_numbers=section.mask_numbers)
    shares = shares * len(asked) / len(written)
    templates = archive.template_shares(questions)
    near = _memory_penalties(section, questions, before)
    usual = _code_penalties(section, known, before) if known else [None] * len(asked)
    limits = section.limits()
    reward = partial(
        curriculum_reward,
        lambda_unc=section.lambda_unc,
        lambda_tool=section.lambda_tool,
        lambda_novelty=section.lambda_novelty,
        clip_at_zero=section.clip_at_zero,
        malformed=section.malformed,
    )
    # A malformed text is a cluster of its own; where no reward is below zero it cannot lose by it.
    alone = 0.0 if section.clip_at_zero else r_rep(1 / len(written), section.lambda_rep)
    out = [reward(well_formed=False, uncertainty=0, tool=0, repetition=alone) for _ in written]
    for n, (i, group, share, template) in enumerate(zip(asked, groups, shares, templates, strict=True)):
        heard = [x for x in group.trajectories if not x.lost] or group.trajectories
        agreed = [agrees(x.answer, group.vote) for x in heard]
        own = group.task.proposed_answer
        counts = not section.own_answer or (group.vote.p_hat > 0.1 and agrees(own, group.vote, judge=judge))
        counts = counts and not (known and known[n].first_failed(limits))
        calls = count_tool_calls([len(x.tool_calls) for x in heard], agreed, section.tool_count)
        out[i] = reward(
            well_formed=True,
            uncertainty=r_unc(group.vote.p_hat, at_iteration(section.peak, iteration)) if counts else 0.0,
            tool=r_tool(calls, section.gamma, section.tool_cap),
            repetition=r_rep(float(share), section.lambda_rep),
            archive_share=float(template),
            memory=near[n],
            code=usual[n],
            extra=extra_terms(questions[n], group, section),
        )
    return out


def _memory_penalties(
    section: RewardSection, questions: Sequence[str], before: Sequence[Asked]
) -> Sequence[float | None]:
    """Of each question; None where the key asks for none."""
    if not section.lambda_memory:
        return [None] * len(questions)
    both = memory_similarities(questions, [one.question for one in before], mask_numbers=section.mask_numbers)
    return [r_memory(float(x), float(y), section.lambda_memory) for x, y in zip(*both, strict=True)]


def _code_penalties(section: RewardSection, known: Sequence[Known], before: Sequence[Asked]) -> Sequence[float | None]:
    """Of each question; None where the key asks for none."""
    if not section.lambda_code:
        return [None] * len(known)
    shares = shape_shares([one.shape for one in known], [one.shape for one in before])
    return [section.lambda_code * float(share) for share in shares]
