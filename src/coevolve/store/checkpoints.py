"""The policies of a run as folders and as weights; iteration 0 is the base model for both roles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coevolve.config import Config
from coevolve.errors import ModelError
from coevolve.rollout.base import PolicyWeights
from coevolve.store.folder import RunFolder
from coevolve.types import PROPOSER

_KEPT, _KEPT_BYTES = 6, 4 << 30  # policies in memory, as long as they are small: whole models of billions are not


class RunCheckpoints:
    """Implements :class:`coevolve.methods.base.Checkpoints` on a run folder; the last few weights stay in memory."""

    def __init__(self, folder: RunFolder, base: Path) -> None:
        self._folder, self._base = folder, base
        self._held: dict[tuple[str, int], PolicyWeights] = {}

    def folder(self, agent: str, iteration: int) -> Path:
        """The folder of a policy, a Hugging Face model or an adapter, checked against its hashes.

        Raises:
            RunError: no finished phase made it, or it is missing or changed.
        """
        trained = self._trained(self._folder.config, agent)
        return self._folder.checkpoint(iteration, str(agent)) if iteration and trained else self._base

    def weights(self, agent: str, iteration: int) -> PolicyWeights:
        """The weights of a policy. Both roles share the base model's."""
        key = (agent, iteration if self._trained(self._folder.config, agent) else 0)
        if key not in self._held:
            adapter = self._folder.config.lora.enabled
            # No adapter at all is the base model: every sampler of such a run has that one.
            weights = {} if adapter and not key[1] else read_weights(self.folder(agent, iteration))
            name = f"{agent}-{iteration}" if key[1] else "base"
            self._held[key] = PolicyWeights(name, -1, weights, adapter)
            while len(self._held) > 1 and (len(self._held) > _KEPT or self._bytes() > _KEPT_BYTES):
                del self._held[next(iter(self._held))]
        return self._held[key]

    def _bytes(self) -> int:
        return sum(array.nbytes for policy in self._held.values() for array in policy.weights.values())

    @staticmethod
    def _trained(config: Config, agent: str) -> bool:
        return config.proposer.train if agent == PROPOSER else config.solver.train


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """All tensors of a model or adapter folder's safetensors files, by name, as float32.

    Raises:
        ModelError: there are none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError("the folder holds no safetensors weights", where=str(folder))
    from safetensors.torch import load_file  # numpy has no bfloat16

    return {name: w.float().numpy() for file in files for name, w in load_file(file).items()}
