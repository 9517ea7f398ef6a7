"""Measures a policy by play: matches against fixed players, and strategies that are read off move by move.

The deals are the same for every policy and every run; the run's seed decides how moves are sampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

import numpy as np

from coevolve.engine.base import Snapshot, Trainer
from coevolve.evaluation.runner import PROBLEM_SEED
from coevolve.learning.rows import plain_row
from coevolve.rollout.base import Episode, Rollouts, RolloutSettings
from coevolve.rollout.codec import Codec
from coevolve.rollout.seeds import seed_of
from coevolve.rollout.table import Dealt, is_fault, match_episode
from coevolve.statistics import estimate
from coevolve.types import StopReason, TrainRow, Trajectory
from coevolve.worlds.base import Contract, PromptContext
from coevolve.worlds.play import PLAY, Contest, InformationSet, ReadStrategy

SEATS = (0, 1)


def play_contests(
    rollouts: Rollouts, policy: Snapshot, contests: Sequence[Contest], *, seed: int, agent: str
) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Play all matches of all contests in one batch.

    Args:
        rollouts: where they are played.
        policy: who plays.
        contests: against whom, and how often.
        seed: the run's seed. The same for every policy of a run: they share their random numbers as well.
        agent: whose policy it is.

    Returns:
        By contest: ``win``, ``draw``, ``loss`` (shares of all matches), ``illegal`` (the share that an illegal move
        lost, a part of ``loss``), ``loss_by_seat``, ``n``, and ``ci95`` of ``loss``. And a row per match for
        meter/evaluation-N.parquet, in which a match that was not lost is one right answer of one.
    """
    places = [(contest, seat, i) for contest in contests for seat in SEATS for i in range(contest.matches)]
    episodes = [_episode(rollouts.settings, *place, seed=seed, agent=agent) for place in places]
    played = [only for (only,) in rollouts.play({agent: policy}, episodes)] if episodes else []
    by_contest: dict[str, list[Trajectory]] = {contest.key: [] for contest in contests}
    for (contest, _, _), trajectory in zip(places, played, strict=True):
        by_contest[contest.key].append(trajectory)
    row: dict[str, object] = {key: contest_row(mine) for key, mine in by_contest.items() if mine}
    return row, [match_row(*place, match) for place, match in zip(places, played, strict=True)]


def match_row(contest: Contest, seat: int, sample: int, match: Trajectory) -> dict[str, object]:
    """A match as a problem with one answer, so that policies can be compared deal by deal."""
    held = match.reward is not None and match.reward >= 0
    return {
        "set": f"{PLAY}-{contest.key}",
        "task_id": f"{contest.key}-{seat}-{sample}",
        "question": contest.rules.name,
        "truth": None,
        "samples_right": int(held),
        "k": 1,
        "majority": None,
        "majority_right": held,
        "greedy_right": None,
        "tool_calls": 0.0,
    }


def contest_row(matches: Sequence[Trajectory]) -> dict[str, object]:
    """The figures of the matches of one contest: those in the first seat, then as many in the second."""
    rewards = np.array([match.reward for match in matches], np.float64)
    lost = estimate(rewards < 0)
    half = len(rewards) // 2
    return {
        "win": float((rewards > 0).mean()),
        "draw": float((rewards == 0).mean()),
        "loss": lost.mean,
        "illegal": float(np.mean([is_fault(match) for match in matches])),
        "loss_by_seat": [float((part < 0).mean()) for part in (rewards[:half], rewards[half:])],
        "n": len(matches),
        "ci95": lost.ci95,
    }


def _episode(settings: RolloutSettings, contest: Contest, seat: int, sample: int, *, seed: int, agent: str) -> Episode:
    """A match in which the policy has a turn: a deal that ends before it is dealt again."""
    drawn, tokens = settings.sampling.of(agent), seed_of(seed, "contest", contest.key, seat, sample)
    for attempt in count():
        deal = seed_of(PROBLEM_SEED, contest.key, seat, sample, attempt)
        dealt = Dealt(contest.rules, deal, against=contest.against, seat=seat)
        episode = match_episode(settings, dealt, (agent,), drawn, sample=sample, seed=tokens)
        if episode is not None:
            return episode
    raise AssertionError("a game in which one seat never has the turn")


def read_strategies(
    trainer: Trainer, codec: Codec, end: int, contract: Contract, strategies: Sequence[ReadStrategy], *, agent: str
) -> dict[str, object]:
    """The exact figures of the strategies that a policy follows.

    Every legal move of every decision is scored as the policy would write it there, with its end token, behind all
    that its seat was shown and has said; the probabilities of the legal moves are then scaled to add up to 1.

    Args:
        trainer: has the policy's weights.
        codec: of its tokenizer.
        end: the token that ends a move.
        contract: how texts look.
        strategies: what is read off.
        agent: whose policy it is.

    Returns:
        By strategy its figures, and ``legal``, the mean over the decisions of what the legal moves had in all.
    """
    found: dict[str, object] = {}
    for strategy in strategies:
        asked = [(one, move) for one in strategy.sets for move in one.moves]
        rows = [_row(codec, end, contract, one, move, agent) for one, move in asked]
        scores = trainer.logprobs(rows)
        chances: dict[str, dict[str, float]] = {one.key: {} for one in strategy.sets}
        for (one, move), row, logp in zip(asked, rows, scores, strict=True):
            chances[one.key][move] = float(np.exp(logp[row.weight > 0].sum(dtype=np.float64)))
        totals = {key: sum(moves.values()) for key, moves in chances.items()}
        scaled = {key: _scaled(moves, totals[key]) for key, moves in chances.items()}
        found[strategy.key] = {**strategy.measure(scaled), "legal": float(np.mean(list(totals.values())))}
    return found


def _scaled(moves: Mapping[str, float], total: float) -> dict[str, float]:
    """Probabilities that add up to 1; equal ones where the policy all but excludes every legal move."""
    return {move: chance / total if total > 0 else 1 / len(moves) for move, chance in moves.items()}


def _row(codec: Codec, end: int, contract: Contract, one: InformationSet, move: str, agent: str) -> TrainRow:
    """What a seat has read and written up to a decision, and the move as what is scored."""
    first, *later = one.shown
    ended = np.array([end], np.int32)
    heard = [codec.encode(contract.prompt(agent, PromptContext(question=first)))]
    for said, shown in zip(one.said, later, strict=True):
        heard += [codec.encode(said), ended, codec.encode(contract.follow_up(shown, ended=True))]
    prompt, tokens = np.concatenate(heard), np.concatenate([codec.encode(move), ended])
    nothing = np.zeros(len(tokens), np.float32)
    scored = Trajectory(
        one.key, 0, prompt, tokens, np.ones(len(tokens), np.bool_), nothing, move, (), None, StopReason.EOS, "", (), ""
    )
    return plain_row(scored)
