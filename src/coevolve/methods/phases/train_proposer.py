"""Phase 1 of Agent0: GRPO on the curriculum agent while the executor is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from coevolve.config import Config, at_iteration
from coevolve.curriculum.archive import Archive
from coevolve.curriculum.rewards import RewardParts, count_tool_calls, curriculum_reward, r_rep, r_tool, r_unc
from coevolve.curriculum.similarity import cluster_shares
from coevolve.curriculum.voting import agrees, pool_votes, vote_entropy
from coevolve.learning.advantages import keyed
from coevolve.learning.guard import warmup_lr
from coevolve.learning.rows import Lesson, minibatch_rows
from coevolve.methods.base import State, open_policy, train_steps
from coevolve.methods.metrics import train_facts
from coevolve.methods.phases.fill_pool import earlier_questions
from coevolve.methods.polling import poll_for_reward
from coevolve.methods.questions import Written, answers_of, read_questions
from coevolve.rollout.policy import Policy
from coevolve.rollout.seeds import seed_of
from coevolve.types import PROPOSER, Batch, Group, TrainStats


class TrainProposer:
    """Some steps of: write questions, let the executor vote on them, reward, update."""

    name = "curriculum"
    by_steps = True

    def __init__(self, config: Config, iteration: int) -> None:
        self.iteration = iteration
        self.steps = at_iteration(config.proposer.steps, iteration)

    def run(self, state: State) -> list[Path]:
        """Train from the last iteration's curriculum agent and its optimiser, and save both."""
        section, t = state.config.proposer, self.iteration
        base = state.checkpoints.folder(PROPOSER, 0)
        policy = open_policy(state, PROPOSER, t, section, resume=t > 1, reference=base if section.kl > 0 else None)
        archive = Archive(earlier_questions(state.store, t))
        train_steps(state, policy, self.steps, lambda step: self._step(state, policy, archive, step))
        folder = f"checkpoints/iteration-{t}/proposer"
        return [state.store.save_folder(folder, lambda path: policy.save(path, optimizer=True))]

    def _step(self, state: State, policy: Policy, archive: Archive, step: int) -> None:
        config, t = state.config, self.iteration
        seed = seed_of(config.seed, "curriculum", t, step)
        texts = state.rollouts.write(policy.weights(), config.proposer.questions, seed=seed)
        gap = policy.probe(texts)
        written = read_questions(state.world, texts, config, iteration=t, prefix=f"c{t}-{step}")
        tasks = [w.task for w in written if w.task is not None]
        by_voter = poll_for_reward(state, tasks, t, seed_of(seed, "votes"))
        with state.spent.grading():
            groups = {
                task.id: Group(
                    task, by_voter[0][n], pool_votes([answers_of(x[n]) for x in by_voter], judge=state.judge)
                )
                for n, task in enumerate(tasks)
            }
            rewards = score_questions(config, t, written, groups, archive)
        state.rollouts.rest()
        stats, zero_groups = self._update(config, policy, written, rewards, step)
        facts = _reward_facts(rewards) | {
            "duplicates": Archive().duplicate_share([w.question for w in written if w.task]),
            "p_hat": float(np.mean([g.vote.p_hat for g in groups.values()])) if groups else None,
            "vote_entropy": _mean([vote_entropy(g.vote) for g in groups.values()]),
            "pairs_unfinished": sum(g.vote.timeouts for g in groups.values()),
            "tool_calls": _mean([len(x.tool_calls) for g in groups.values() for x in g.trajectories]),
            "own_tool_calls": _mean([len(x.tool_calls) for x in texts]),
            "zero_groups": zero_groups,
            "tokens_sampled": sum(x.sampled for x in texts)
            + sum(x.sampled for answers in by_voter for g in answers for x in g),
            "max_logp_gap": gap,
        }
        row = {"event": "curriculum_step", "iteration": t, "step": step + 1, "steps": self.steps}
        state.store.log(row | facts | train_facts(stats, config.proposer.kl))
        state.progress.step(
            step + 1,
            {
                "reward": facts["reward"],
                "unc": facts["r_unc"],
                "tool": facts["r_tool"],
                "rep": facts["r_rep"],
                "scored": sum(len(g) for answers in by_voter for g in answers),
            },
        )

    def _update(
        self, config: Config, policy: Policy, written: Sequence[Written], rewards: Sequence[RewardParts], step: int
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
            rows = minibatch_rows([lessons[i] for i in part], "token", config.sampling.question_tokens)
            batches.append(Batch(tuple(rows), kl=section.kl))
            done = step * section.minibatches + n
            lrs.append(warmup_lr(done, section.lr, section.warmup if self.iteration == 1 else 0))
        return policy.update(batches, lrs), zero


def score_questions(
    config: Config, iteration: int, written: Sequence[Written], groups: dict[str, Group], archive: Archive
) -> list[RewardParts]:
    """The composite reward of every written text (methods: R_C).

    Args:
        written: the whole batch; texts without a task earn nothing.
        groups: voted trajectories by task id.
        archive: questions of earlier iterations, for the novelty term.
    """
    section = config.reward
    asked = [i for i, w in enumerate(written) if w.task is not None]
    questions = [written[i].question for i in asked]
    # The share is of the whole batch: malformed texts form no cluster but count in B.
    shares = cluster_shares(questions, threshold=section.bleu_threshold, mask_numbers=section.mask_numbers)
    shares = shares * len(asked) / len(written)
    templates = archive.template_shares(questions)
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
    for i, share, template in zip(asked, shares, templates, strict=True):
        task = written[i].task
        assert task is not None
        group = groups[task.id]
        heard = [x for x in group.trajectories if not x.lost] or group.trajectories
        agreed = [agrees(x.answer, group.vote) for x in heard]
        calls = count_tool_calls([len(x.tool_calls) for x in heard], agreed, section.tool_count)
        out[i] = reward(
            well_formed=True,
            uncertainty=r_unc(group.vote.p_hat, at_iteration(section.peak, iteration)),
            tool=r_tool(calls, section.gamma, section.tool_cap),
            repetition=r_rep(float(share), section.lambda_rep),
            archive_share=float(template),
        )
    return out


def _reward_facts(rewards: Sequence[RewardParts]) -> dict[str, object]:
    """Means over the batch; the parts are those of well-formed questions, weighted as they enter the reward."""
    asked = [r for r in rewards if r.format]
    return {
        "reward": _mean([r.total for r in rewards]),
        "r_unc": _mean([r.uncertainty for r in asked]),
        "r_tool": _mean([r.tool for r in asked]),
        "r_rep": _mean([r.repetition for r in asked]),
        "r_novelty": _mean([r.novelty for r in asked]),
        "format": _mean([r.format for r in rewards]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
