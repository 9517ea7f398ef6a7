"""One worker: a sampler, a tool and the loop, behind plain data that can cross a process boundary."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from coevolve.config import Config
from coevolve.engine.base import MemoryShortage, Sampling
from coevolve.engine.factory import open_sampler
from coevolve.grading.symbolic import symbolic_version
from coevolve.rollout.base import RolloutCost, Snapshot
from coevolve.rollout.codec import Codec
from coevolve.rollout.environments import DialogueEnvironment, Environment, PythonToolEnvironment, WritingEnvironment
from coevolve.rollout.loop import Job, RolloutLoop
from coevolve.sandbox.factory import open_tool
from coevolve.types import PROPOSER, Trajectory
from coevolve.worlds.base import Contract


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one worker is asked to do: jobs of one agent under one policy."""

    agent: str
    policy: Snapshot | None  # None: the weights that this worker already has
    policy_name: str
    jobs: tuple[Job, ...]
    sampling: Sampling


_WHERE_SNIPPETS_RUN = {"backend", "namespaces", "url", "requests", "workers"}  # and not what comes of them


def contract_hash(contract: Contract, config: Config) -> str:
    """Twelve hex digits over everything that decides what an answer to a task means (methods: one contract)."""
    parts = [contract.name, contract.proposer_prompt(), config.tool.model_dump(exclude={"cache"})]
    parts += [config.sampling.model_dump(), config.sandbox.model_dump(exclude=_WHERE_SNIPPETS_RUN)]
    parts += [{"timeout_s": config.grading.timeout_s, "math-verify": symbolic_version(config.grading.symbolic)}]
    parts += [config.dialogue.model_dump()] if config.dialogue.judged == "all" else []
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


class RolloutWorker:
    """Builds sampler and sandbox once and then turns assignments into trajectories."""

    def __init__(self, config: Config, model_path: Path, contract: Contract, *, own_process: bool = False) -> None:
        self._config, self._contract, self._own_process = config, contract, own_process
        self._codec = Codec(model_path)
        self._hash = contract_hash(contract, config)
        self._sampler = open_sampler(config.engine_settings, model_path)
        sessions = config.tool.enabled and config.tool.state == "session"
        # A sequence that waits for its tool keeps its row, and a session ends with its sequence.
        self._tool = open_tool(
            config.sandbox,
            cache=config.tool.cache,
            sessions=config.engine.max_rows if sessions else 0,
            sharing=max(config.engine.workers, 1),
        )
        self._loop = RolloutLoop(
            self._sampler,
            self._tool,
            self._codec,
            wait_steps=config.tool.wait_steps,
            eos=self._sampler.eos,
            sessions=sessions,
        )

    @property
    def layers(self) -> dict[str, str]:
        """The sandbox layers found at start."""
        return dict(self._tool.layers)

    def run(self, assignment: Assignment) -> tuple[list[Trajectory], RolloutCost]:
        """Make the trajectories of an assignment, in the order of its jobs, and say what this call has cost.

        Where memory runs out all of them are made again, with fewer at once.
        """
        begin_cpu, tool_before = time.process_time(), self._tool.stats
        if assignment.policy is not None:
            self._sampler.load_weights(assignment.policy)
        shortages = 0
        while True:
            jobs = [(job, self._surroundings(job, assignment.agent)) for job in assignment.jobs]
            try:
                trajectories, stats = self._loop.run(
                    jobs, assignment.sampling, policy=assignment.policy_name, contract=self._hash
                )
                break
            except MemoryShortage:
                shortages += 1
        tool = self._tool.stats
        return trajectories, RolloutCost(
            sampled_tokens=stats.sampled_tokens,
            tool_calls=stats.tool_calls,
            sample_s=stats.wall_s - stats.tool_wait_s,
            tool_s=stats.tool_wait_s,
            answers_lost=sum(t.lost for t in trajectories),
            shortages=shortages,
            cpu_s=tool.cpu_s - tool_before.cpu_s + (time.process_time() - begin_cpu if self._own_process else 0.0),
        )

    def _surroundings(self, job: Job, agent: str) -> Environment:
        if not job.follow_ups:
            return self._environment(agent)
        all_turns = self._config.dialogue.judged == "all"
        make = partial(self._environment, agent)
        return DialogueEnvironment(make, self._contract, job.follow_ups, all_turns=all_turns)

    def _environment(self, agent: str) -> Environment:
        tool = self._config.tool
        if self._config.has_tool(agent):
            return PythonToolEnvironment(self._contract, tool.max_turns, self._shown, agent)
        return WritingEnvironment(self._contract, agent)

    def _shown(self, observation: str) -> str:
        return self._codec.within(observation, self._config.tool.observation_tokens)

    def release_memory(self) -> None:
        """Give back what memory the sampler can do without until the next assignment."""
        self._sampler.release_memory()

    def close(self) -> None:
        """End the sandbox and the sampler."""
        self._tool.close()
        self._sampler.close()


def sampling_for(config: Config, agent: str, *, greedy: bool) -> Sampling:
    """Temperature and budget of an agent; training and scoring always sample with top-p 1."""
    tokens = config.sampling.question_tokens if agent == PROPOSER else config.sampling.max_tokens
    return Sampling(0.0 if greedy else config.sampling.temperature, 1.0, tokens)


def split(jobs: Sequence[Job], workers: int) -> list[list[int]]:
    """Indices of the jobs of each worker: whole tasks go round in turn, so that equal prompts stay together."""
    shares: list[list[int]] = [[] for _ in range(workers)]
    order: dict[str, int] = {}
    for i, job in enumerate(jobs):
        shares[order.setdefault(job.task_id, len(order)) % workers].append(i)
    return shares
