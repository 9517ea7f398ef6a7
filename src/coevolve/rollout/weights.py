"""Seats of different weights at one table: the sampler holds those of one policy, and turns of the others wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from coevolve.engine.base import Sampler, SampleRequest, Snapshot

Identity = tuple[str, int]  # name and version of weights


def identity(snapshot: Snapshot) -> Identity:
    """What weights are told apart by."""
    return snapshot.name, snapshot.version


class WeightsInTurn:
    """Begins turns with the weights of their agent.

    Args:
        sampler: writes.
        by_agent: the weights of each agent; none: all have those that the sampler has, whatever they are.
    """

    def __init__(self, sampler: Sampler, by_agent: Mapping[str, Snapshot]) -> None:
        self._sampler, self._by_agent = sampler, by_agent
        self._loaded: Identity | None = None
        self._waiting: list[tuple[str, SampleRequest]] = []

    def of(self, agent: str) -> Identity | None:
        """Name and version of an agent's weights; None where they are those that the sampler has."""
        own = self._by_agent.get(agent)
        return None if own is None else identity(own)

    def submit(self, agent: str, request: SampleRequest) -> bool:
        """Begin a turn; False where it waits for other weights."""
        if self.of(agent) == self._loaded:
            self._sampler.submit(request)
            return True
        self._waiting.append((agent, request))
        return False

    def change(self) -> Iterator[int]:
        """Load what the longest waiting turn needs, and begin all turns that need the same; ids of their sequences.

        Nothing happens as long as a sequence is alive, or where no turn waits.
        """
        if not self._waiting or self._sampler.active:
            return
        snapshot = self._by_agent[self._waiting[0][0]]
        self._sampler.load_weights(snapshot)
        self._loaded = identity(snapshot)
        waiting, self._waiting = self._waiting, []
        for agent, request in waiting:
            if self.submit(agent, request):
                yield request.id
