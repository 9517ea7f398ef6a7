"""The one way in which everybody gets trajectories: curriculum scoring, pools, training and evaluation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from coevolve.config import (
    Config,
    DialogueSection,
    GradingSection,
    SamplingSection,
    SandboxSection,
    ToolSection,
)
from coevolve.config.resources import EngineSettings
from coevolve.engine.base import Sampling
from coevolve.engine.base import Snapshot as Snapshot  # what every call here takes
from coevolve.grading.symbolic import symbolic_version
from coevolve.rollout.environments import EnvironmentSpec
from coevolve.types import PROPOSER, SOLVER, Trajectory
from coevolve.worlds.base import Contract


@dataclass(frozen=True, slots=True)
class Seat:
    """One place in an episode: which policy writes, and after which text."""

    agent: str
    prompt: str | None  # None: the environment says it when the seat first has the turn; the first seat has one
    opening: str = ""  # forced start of the first text; not sampled, never trained on


@dataclass(frozen=True, slots=True)
class Episode:
    """One play of one environment, as plain data: all that decides what comes of it under given weights."""

    id: str  # of the task, or of the text that is to be written; equal for all samples of one
    sample: int  # index within the group
    seats: tuple[Seat, ...]
    environment: EnvironmentSpec
    sampling: Sampling  # ``max_tokens`` is the budget of each seat; stop strings are the environment's
    seed: int


@dataclass(frozen=True, slots=True)
class RolloutCost:
    """What rollouts have cost since the start of the process group; seconds are summed over workers."""

    sampled_tokens: int = 0
    tool_calls: int = 0
    sample_s: float = 0.0
    tool_s: float = 0.0
    cpu_s: float = 0.0  # of worker processes and sandboxes; what runs in the main process is not in it
    workers: int = 1
    answers_lost: int = 0  # to a failing sandbox
    shortages: int = 0  # times that memory ran out and a worker began its work again with fewer rows
    restarts: int = 0  # of worker processes that had died
    told: tuple[str, ...] = ()  # what was lost and made up for, one sentence each


_WHERE_SNIPPETS_RUN = {
    "backend",
    "namespaces",
    "url",
    "requests",
    "patience_s",
    "workers",
}  # and not what comes of them


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """What rollouts need to know. One and the same for scoring, pools, training and evaluation."""

    contract: Contract
    engine: EngineSettings
    tool: ToolSection
    sampling: SamplingSection
    sandbox: SandboxSection
    grading: GradingSection
    dialogue: DialogueSection
    tool_users: frozenset[str]  # agents that may call the tool

    @classmethod
    def of(cls, config: Config, contract: Contract, agents: Collection[str] = (PROPOSER, SOLVER)) -> RolloutSettings:
        """Those of a run with these agents."""
        return cls(
            contract,
            engine=config.engine_settings,
            tool=config.tool,
            sampling=config.sampling,
            sandbox=config.sandbox,
            grading=config.grading,
            dialogue=config.dialogue,
            tool_users=frozenset(agent for agent in agents if config.has_tool(agent)),
        )

    @property
    def hash(self) -> str:
        """Twelve hex digits over what decides what an answer means; logged with every trajectory and p_hat."""
        parts = [self.contract.name, self.contract.prompt(PROPOSER), self.tool.said()]
        parts += [self.sampling.said(), self.sandbox.model_dump(exclude=_WHERE_SNIPPETS_RUN)]
        parts += [{"timeout_s": self.grading.timeout_s, "math-verify": symbolic_version(self.grading.symbolic)}]
        refusing = self.grading.model_dump(include={"refuse_errors", "refuse_unevaluated"})
        parts += [refusing] if any(refusing.values()) else []
        parts += [self.dialogue.model_dump()] if self.dialogue.judged == "all" else []
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


class Rollouts(Protocol):
    """Turns episodes into trajectories. Equal episodes and weights give equal trajectories."""

    @property
    def settings(self) -> RolloutSettings:
        """What episodes are built from (:mod:`coevolve.rollout.asking`)."""

    def play(self, policies: Mapping[str, Snapshot], episodes: Sequence[Episode]) -> list[tuple[Trajectory, ...]]:
        """The trajectories of each episode, one per seat.

        Args:
            policies: weights by agent; every seat's agent is among them.
            episodes: samples of one task stand together.
        """

    def release_memory(self) -> None:
        """The trainer's turn: give back what memory can be had again when the next answers are asked for."""

    @property
    def cost(self) -> RolloutCost: ...

    def close(self) -> None: ...
