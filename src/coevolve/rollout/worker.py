"""One worker: a sampler, a tool and the loop, behind plain data that can cross a process boundary."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coevolve.engine.base import MemoryShortage, Snapshot
from coevolve.engine.factory import open_sampler
from coevolve.errors import CoevolveError, EngineError
from coevolve.rollout.base import Episode, RolloutCost, RolloutSettings
from coevolve.rollout.codec import Codec
from coevolve.rollout.loop import RolloutLoop
from coevolve.sandbox.factory import open_tool
from coevolve.types import Trajectory

Played = tuple[list[tuple[Trajectory, ...]], RolloutCost]  # by episode and seat


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one worker is asked to do: episodes of one policy, or of several that meet in them."""

    policy: Snapshot | None  # None: the weights that this worker already has, or those of ``by_agent``
    policy_name: str
    episodes: tuple[Episode, ...]
    by_agent: Mapping[str, Snapshot] = field(default_factory=dict)  # where the seats of an episode have several


def crossing(error: Exception) -> CoevolveError:
    """What a worker's process tells of its fault: itself where it is ours, else its words, since not all can cross."""
    if isinstance(error, CoevolveError):
        return error
    place = traceback.extract_tb(error.__traceback__)[-1]
    what = f"a rollout worker failed: {type(error).__name__}: {error}"
    return EngineError(what, where=f"{place.filename}, line {place.lineno}")


class RolloutWorker:
    """Builds sampler and sandbox once and then turns assignments into trajectories."""

    def __init__(self, settings: RolloutSettings, model_path: Path, *, own_process: bool = False) -> None:
        engine, tool = settings.engine.engine, settings.tool
        self._own_process, self._hash = own_process, settings.hash
        self._sampler = open_sampler(settings.engine, model_path)
        sessions = tool.enabled and tool.state == "session"
        # A sequence that waits for its tool keeps its row, and a session ends with its sequence.
        self._tool = open_tool(
            settings.sandbox,
            cache=tool.cache,
            sessions=engine.max_rows if sessions else 0,
            sharing=max(engine.workers, 1),
        )
        self._told = 0  # sentences of the tool that were passed on
        self._codec = Codec(model_path)
        self._loop = RolloutLoop(
            self._sampler,
            self._tool,
            self._codec,
            settings.contract,
            wait_steps=tool.wait_steps,
            eos=self._sampler.eos,
            sessions=sessions,
            observation_tokens=tool.observation_tokens,
        )

    @property
    def layers(self) -> dict[str, str]:
        """The sandbox layers found at start."""
        return dict(self._tool.layers)

    def run(self, assignment: Assignment) -> Played:
        """Make the trajectories of an assignment, in the order of its episodes, and say what this call has cost.

        Where memory runs out all of them are made again, with fewer at once.
        """
        begin_cpu, tool_before = time.process_time(), self._tool.stats
        if assignment.policy is not None:
            self._sampler.load_weights(assignment.policy)
        shortages = 0
        while True:
            try:
                played, stats = self._loop.run(
                    assignment.episodes,
                    policy=assignment.policy_name,
                    contract=self._hash,
                    by_agent=assignment.by_agent,
                )
                break
            except MemoryShortage:
                shortages += 1
        tool = self._tool.stats
        told, self._told = tool.told[self._told :], len(tool.told)
        return played, RolloutCost(
            sampled_tokens=stats.sampled_tokens,
            tool_calls=stats.tool_calls,
            sample_s=stats.wall_s - stats.tool_wait_s,
            tool_s=stats.tool_wait_s,
            answers_lost=sum(t.lost for seats in played for t in seats),
            shortages=shortages,
            told=told,
            cpu_s=tool.cpu_s - tool_before.cpu_s + (time.process_time() - begin_cpu if self._own_process else 0.0),
        )

    def open_loop(self, policy: Snapshot) -> RolloutLoop:
        """The loop with the weights of a policy, for episodes that come one after the other."""
        self._sampler.load_weights(policy)
        self._loop.begin(policy=policy.name, contract=self._hash)
        return self._loop

    def forget_texts(self) -> None:
        """Drop the remembered encodings, which for texts that never come again only take memory."""
        self._codec.forget()

    def release_memory(self) -> None:
        """Give back what memory the sampler can do without until the next assignment."""
        self._sampler.release_memory()

    def close(self) -> None:
        """End the sandbox and the sampler."""
        self._tool.close()
        self._sampler.close()


def split(episodes: Sequence[Episode], workers: int) -> list[list[int]]:
    """Indices of the episodes of each worker: whole tasks go round in turn, so that equal prompts stay together."""
    shares: list[list[int]] = [[] for _ in range(workers)]
    order: dict[str, int] = {}
    for i, episode in enumerate(episodes):
        shares[order.setdefault(episode.id, len(order)) % workers].append(i)
    return shares
