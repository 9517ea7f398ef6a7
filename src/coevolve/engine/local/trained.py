"""What a trainer trains: all weights of a model (``whole.py``) or an adapter on a frozen one (``lora.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from coevolve.errors import EngineError
from coevolve.types import Floats


class Trained(Protocol):
    """A model, which of its parameters are trained, and the reference that the KL term compares it with."""

    model: nn.Module
    adapter: bool  # as in ``PolicyWeights``
    parameters: dict[str, nn.Parameter]  # those that are trained, by the names of their files

    def numpy(self) -> dict[str, Floats]:
        """Copies of the trained weights as float32, as in ``PolicyWeights``."""

    def load(self, weights: Mapping[str, Floats]) -> None:
        """Overwrite the trained weights in place."""

    def save(self, folder: Path) -> None:
        """Write the weights and what says how to read them."""

    def set_reference(self) -> None:
        """Make the present weights the reference."""

    def reference(self) -> AbstractContextManager[nn.Module]:
        """The model as the reference is, for the block; the trained weights are untouched after it."""


def assign(own: Mapping[str, Tensor], weights: Mapping[str, Floats]) -> None:
    """Copy weights into tensors of the same names and shapes.

    Raises:
        EngineError: names or shapes differ; nothing was copied then.
    """
    if wrong := sorted(own.keys() ^ weights.keys()):
        raise EngineError(f"Weights with other names than the model's: {', '.join(wrong[:3])}")
    for name, value in own.items():
        if tuple(value.shape) != weights[name].shape:
            raise EngineError(f"{name} has shape {weights[name].shape}, the model needs {tuple(value.shape)}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))


def no_reference() -> EngineError:
    """What to say where a KL term has nothing to refer to."""
    return EngineError("The KL term needs a reference policy", fix="call set_reference() before")
