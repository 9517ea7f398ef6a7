"""Which executors answer a question that is new: for the curriculum agent's reward, and for the labels of a pool.

A pool is asked all at once, or in rounds that end for a task once its fate is settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from coevolve.config import Voter
from coevolve.curriculum.gate import chance_inside
from coevolve.curriculum.voting import pool_votes
from coevolve.methods.base import Store
from coevolve.methods.config import CoevolutionState as State
from coevolve.methods.probe import trained_in
from coevolve.methods.questions import answers_of, refusal_of
from coevolve.rollout.asking import solve
from coevolve.rollout.seeds import seed_of
from coevolve.types import SOLVER, Task, Trajectory, Vote

ByVoter = list[list[tuple[Trajectory, ...]]]  # [voter][task]: its answers


def voters(names: Sequence[Voter], iteration: int, *, trained: bool) -> list[int]:
    """Iterations of the executors that have these names in an iteration, the newest first; equal ones count once.

    Args:
        trained: whether executors are trained at all.
    """
    newest = iteration - 1 if trained else 0
    previous, middle, first = max(newest - 1, 0), (newest + 1) // 2, min(newest, 1)
    at = {"current": newest, "previous": previous, "middle": middle, "first": first, "base": 0}
    return sorted({at[name] for name in names}, reverse=True)


def different_voters(store: Store, names: Sequence[Voter], iteration: int, *, trained: bool, probed: bool) -> list[int]:
    """The iterations whose training made these voters: after a rollback two names may stand for one executor.

    Args:
        trained: whether executors are trained at all.
        probed: whether they are held against the probe, and may have been rolled back.
    """
    named = voters(names, iteration, trained=trained)
    return sorted({trained_in(store, i) for i in named} if probed else named, reverse=True)


def _asked(state: State, names: Sequence[Voter], iteration: int) -> list[int]:
    trained, probed = state.config.solver.train, state.config.has_probe
    return different_voters(state.store, names, iteration, trained=trained, probed=probed)


def poll(state: State, tasks: Sequence[Task], iteration: int) -> ByVoter:
    """Every voter's answers to every task: ``pool.votes`` of them, or fewer where ``pool.stop`` allows it.

    In rounds of ``pool.round`` answers per voter; a task that will hardly end on the other side of the gate's bounds
    than where it is gets no more.
    """
    config = state.config
    votes, stop = config.pool.votes, config.pool.stop
    bounds = config.gate.bounds(iteration)
    size = config.pool.round if stop else votes
    asked = _asked(state, config.pool.voters, iteration)
    out: ByVoter = [[() for _ in tasks] for _ in asked]
    waiting = list(range(len(tasks)))
    for begin in range(0, votes, size):
        count = min(size, votes - begin)
        for answers, voter in zip(out, asked, strict=True):
            policy = state.checkpoints.weights(SOLVER, voter)
            names = ("votes", voter, begin) if begin else ("votes", voter)
            seed = seed_of(seed_of(config.seed, "pool", iteration), *names)
            more = solve(state.rollouts, policy, [tasks[n] for n in waiting], count, seed=seed, use="labels")
            for n, group in zip(waiting, more, strict=True):
                answers[n] += tuple(replace(x, sample=begin + x.sample) for x in group)
        if begin + count < votes:
            with state.spent.grading():
                most = votes * len(out)
                waiting = [n for n in waiting if _is_open(pooled(state, out, n), most, bounds, stop)]
            if not waiting:
                break
    return out


def poll_for_reward(state: State, tasks: Sequence[Task], iteration: int, seed: int) -> ByVoter:
    """The answers that make the reward of the curriculum agent: ``proposer.votes`` of each of its voters."""
    section = state.config.proposer
    newest, *older = _asked(state, section.voters, iteration)
    seeds = {newest: seed} | {voter: seed_of(seed, voter) for voter in older}
    return [
        solve(state.rollouts, state.checkpoints.weights(SOLVER, voter), tasks, section.votes, seed=number, use="votes")
        for voter, number in seeds.items()
    ]


def pooled(state: State, by_voter: ByVoter, task: int) -> Vote:
    """The vote of all voters on one task."""
    counted = state.config.pool.count_missing
    refusal = refusal_of(state.world)
    heard = [answers_of(answers[task], count_missing=counted, refusal=refusal) for answers in by_voter]
    return pool_votes(heard, judge=state.judge)


def _is_open(vote: Vote, most: int, bounds: tuple[float, float], stop: float) -> bool:
    """Whether more answers to a task, ``most`` in all, may bring it into the gate, out of it, or to another label."""
    majority = vote.counts[0][1] if vote.counts else 0
    inside = chance_inside(majority, vote.k, max(most, vote.k), *bounds)
    return inside >= stop and (vote.tied or inside <= 1 - stop)
