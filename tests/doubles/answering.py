"""Rollouts that answer tasks and write texts as a test says, behind the protocol that methods and evaluation use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from coevolve.config import Config
from coevolve.rollout.base import Episode, RolloutSettings, Snapshot
from coevolve.types import PROPOSER, Origin, Task, Trajectory
from coevolve.worlds.miniature.learner import MiniatureContract


class Answering:
    """``play`` in terms of a ``solve`` and a ``write`` of the class that inherits it."""

    settings = RolloutSettings.of(Config(), MiniatureContract())

    def play(self: Any, policies: Mapping[str, Snapshot], episodes: Sequence[Episode]) -> list[tuple[Trajectory]]:
        if not episodes:
            return []
        ((agent, policy),) = policies.items()
        first = episodes[0]
        if agent == PROPOSER:
            return [(text,) for text in self.write(policy, len(episodes), seed=first.seed)]
        groups = [list(group) for _, group in groupby(episodes, key=lambda episode: episode.id)]
        how = {"greedy": True} if first.sampling.temperature == 0 else {}
        how |= {"opening": first.seats[0].opening} if first.seats[0].opening else {}
        tasks = [task_of(group[0]) for group in groups]
        return [(x,) for xs in self.solve(policy, tasks, len(groups[0]), seed=first.seed, **how) for x in xs]


def task_of(episode: Episode) -> Task:
    """The task that an episode in the miniature world asks for, as far as a policy can see it."""
    question = str(episode.seats[0].prompt).removeprefix("<question>").removesuffix("</question>\n")
    return Task(episode.id, (question,), "", Origin("test", PROPOSER, 0))
