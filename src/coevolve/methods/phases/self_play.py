"""The one phase of SPIRAL: play, take the baselines of game and seat from what it paid, update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from coevolve.config import at_iteration
from coevolve.errors import ConfigError
from coevolve.learning.advantages import role_conditioned
from coevolve.learning.guard import warmup_lr
from coevolve.learning.rows import Lesson, minibatch_rows
from coevolve.methods.base import open_policy, train_steps
from coevolve.methods.metrics import train_facts
from coevolve.methods.phases.self_play_report import STEP, self_play_report, shown_facts, step_facts
from coevolve.methods.reporting import Labels, PhaseCost
from coevolve.methods.self_play_config import SelfPlaySection
from coevolve.methods.self_play_config import SpiralState as State
from coevolve.rollout.base import Episode, Snapshot
from coevolve.rollout.policy import Policy
from coevolve.rollout.seeds import seed_of
from coevolve.rollout.table import Dealt, match_episode
from coevolve.types import SOLVER, Batch, TrainStats, Trajectory
from coevolve.worlds.games.players import RandomPlayer
from coevolve.worlds.play import Rules, WorldOfGames

PAST = "past"  # the agent id of an earlier self at the table
SEATS = 2


@dataclass(frozen=True, slots=True)
class Match:
    """An episode, and which seats of the game the trajectories that learn have, by their place at the table."""

    game: str
    episode: Episode
    learns: tuple[tuple[int, int], ...]  # (place at the table, seat of the game)


@dataclass(frozen=True, slots=True)
class Played:
    """One seat of a finished match that learns."""

    game: str
    seat: int
    trajectory: Trajectory

    @property
    def key(self) -> str:
        """Of its baseline."""
        return f"{self.game}/{self.seat}"

    @property
    def reward(self) -> float:
        """What the match has paid this seat."""
        assert self.trajectory.reward is not None, "a match pays all of its seats"
        return self.trajectory.reward


class SelfPlay:
    """Some steps of: play all games equally often, subtract the baselines, update."""

    by_steps = True

    def __init__(self, section: SelfPlaySection, iteration: int, labels: Labels) -> None:
        self.iteration = iteration
        self.report = self_play_report(labels)
        self.steps = at_iteration(section.steps, iteration)
        self._section = section

    def cost(self, config: object) -> PhaseCost:
        """Every seat that learns is trained on."""
        section = self._section
        matches = self.steps * section.matches * len(section.games)
        learning = matches * (SEATS if section.opponent == "self" else 1)
        seats = matches * (1 if section.opponent == "random" else SEATS)
        return PhaseCost(answers=seats, prompts=seats, answers_trained=learning, checkpoint_copies=3)

    def run(self, state: State) -> list[Path]:
        """Train from the last iteration's player with its optimiser and its baselines, and save all three."""
        section, t = self._section, self.iteration
        rules = self._rules(state)
        base = state.checkpoints.folder(SOLVER, 0) if section.kl > 0 else None
        policy = open_policy(state, SOLVER, t, section, resume=t > 1, reference=base)
        policy.numbers = read_baselines(state, t - 1)
        train_steps(state, policy, self.steps, lambda step: self._step(state, policy, rules, step))
        folder = f"checkpoints/iteration-{t}/{SOLVER}"
        saved = state.store.save_folder(folder, lambda path: policy.save(path, optimizer=True))
        rows = [{"key": key, "baseline": value} for key, value in sorted(policy.numbers.items())]
        return [saved, state.store.write_table(_table(t), rows)]

    def _rules(self, state: State) -> Mapping[str, Rules]:
        """The games that are trained on.

        Raises:
            ConfigError: the world has no game of a name.
        """
        known = cast(WorldOfGames, state.world).rules
        for name in self._section.games:
            if name not in known:
                raise ConfigError(f"no game {name} in this world", where="self_play.games", fix=", ".join(known))
        return {name: known[name] for name in self._section.games}

    def _step(self, state: State, policy: Policy, rules: Mapping[str, Rules], step: int) -> None:
        config, t = state.config, self.iteration
        seed = seed_of(config.seed, "self-play", t, step)
        matches = self._matches(state, rules, seed)
        played = play(state, matches, self._policies(state, policy, seed))
        gap = policy.check_logprobs([one.trajectory for one in played])
        rewards, keys = [one.reward for one in played], [one.key for one in played]
        before = dict(policy.numbers)
        advantages, policy.numbers = role_conditioned(rewards, keys, before, alpha=self._section.alpha)
        state.rollouts.release_memory()
        order = np.random.default_rng(seed_of(config.seed, "rows", t, step))
        stats = self._update(policy, played, advantages, step, order, config.sampling.max_tokens)
        facts = {"event": STEP, "iteration": t, "step": step + 1, "steps": self.steps}
        facts |= step_facts([(one.game, one.seat, one.trajectory) for one in played], policy.numbers, gap)
        facts |= train_facts(stats, self._section.kl)
        state.store.log(facts)
        state.progress.step(step + 1, shown_facts(facts))

    def _matches(self, state: State, rules: Mapping[str, Rules], seed: int) -> list[Match]:
        """The matches of a step; those of each game take the seats in turn where only one of them learns."""
        section, settings = self._section, state.rollouts.settings
        drawn = state.config.sampling.of(SOLVER)
        illegal = (section.illegal[0], section.illegal[1])
        out: list[Match] = []
        for name, game in rules.items():
            for i in range(section.matches):
                seat = i % SEATS
                against = RandomPlayer() if section.opponent == "random" else None
                table = (SOLVER, PAST) if seat == 0 else (PAST, SOLVER)
                agents = {"self": (SOLVER, SOLVER), "past": table, "random": (SOLVER,)}[section.opponent]
                tokens, dealt = seed_of(seed, name, i), seed_of(seed, name, i, "deal")
                opened = Dealt(game, dealt, illegal, against, seat if against else 0)
                episode = match_episode(settings, opened, agents, drawn, sample=i, seed=tokens)
                if episode is None:  # a random player that has won before anybody else had the turn
                    continue
                learns = {"self": ((0, 0), (1, 1)), "past": ((seat, seat),), "random": ((0, seat),)}
                out.append(Match(name, episode, learns[section.opponent]))
        return out

    def _policies(self, state: State, policy: Policy, seed: int) -> dict[str, Snapshot]:
        """Who sits at the tables of a step."""
        found = {SOLVER: policy.weights()}
        if self._section.opponent == "past":
            drawn = int(np.random.default_rng(seed_of(seed, "past")).integers(self.iteration))
            found[PAST] = state.checkpoints.weights(SOLVER, drawn)
        return found

    def _update(
        self,
        policy: Policy,
        played: Sequence[Played],
        advantages: np.ndarray,
        step: int,
        shuffled: np.random.Generator,
        max_tokens: int,
    ) -> list[TrainStats]:
        """Minibatches over the shuffled seats; every turn of a seat has the seat's advantage."""
        section = self._section
        lessons = [
            Lesson(one.trajectory, float(advantage), section.clip_low, section.clip_high)
            for one, advantage in zip(played, advantages, strict=True)
            if one.trajectory.sampled  # a seat that never had the turn has nothing to learn, but moves its baseline
        ]
        order = shuffled.permutation(len(lessons))
        batches, lrs = [], []
        for n, part in enumerate(np.array_split(order, section.minibatches)):
            rows = minibatch_rows([lessons[i] for i in part], section.loss, max_tokens)
            batches.append(Batch(tuple(rows), section.kl, kl_gradient="corrected"))
            done = step * section.minibatches + n
            lrs.append(warmup_lr(done, section.lr, section.warmup if self.iteration == 1 else 0))
        return policy.update(batches, lrs)


def play(state: State, matches: Sequence[Match], policies: Mapping[str, Snapshot]) -> list[Played]:
    """The seats that learn, match after match, the first seat of each first: the order in which baselines move."""
    results = state.rollouts.play(policies, [match.episode for match in matches])
    return [
        Played(match.game, seat, seats[place])
        for match, seats in zip(matches, results, strict=True)
        for place, seat in match.learns
    ]


def read_baselines(state: State, iteration: int) -> dict[str, float]:
    """The baselines that an iteration has left; none before the first."""
    rows = state.store.read_table(_table(iteration)) if iteration else []
    return {str(row["key"]): float(row["baseline"]) for row in rows}


def _table(iteration: int) -> str:
    return f"baselines/iteration-{iteration}.parquet"
