"""The policies of a run as folders; iteration 0 is the base model for all agents."""

from __future__ import annotations

from pathlib import Path

from coevolve.engine.base import Folder, Snapshot
from coevolve.methods.registry import trained_agents
from coevolve.store.records import RunRecords


class RunCheckpoints:
    """Implements :class:`coevolve.methods.base.Checkpoints` on a run folder."""

    def __init__(self, folder: RunRecords, base: Path) -> None:
        self._folder, self._base, self._trained = folder, base, trained_agents(folder.config)
        self._checked: dict[tuple[str, int], Snapshot] = {}  # its files are read once to compare their hashes

    def folder(self, agent: str, iteration: int) -> Path:
        """The folder of a policy, a Hugging Face model or an adapter, checked against its hashes.

        Raises:
            RunError: no finished phase made it, or it is missing or changed.
        """
        return self._folder.checkpoint(iteration, agent) if iteration and agent in self._trained else self._base

    def weights(self, agent: str, iteration: int) -> Snapshot:
        """The weights of a policy, as a folder. All agents share the base model's.

        Raises:
            RunError: no finished phase made them, or they are missing or changed.
        """
        key = (agent, iteration if agent in self._trained else 0)
        if key not in self._checked:
            source = Folder(self.folder(*key), adapter=self._folder.config.lora.enabled and key[1] > 0)
            self._checked[key] = Snapshot(f"{agent}-{iteration}" if key[1] else "base", -1, source)
        return self._checked[key]
