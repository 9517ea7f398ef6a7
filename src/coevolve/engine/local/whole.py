"""Full fine-tuning: every parameter of a model of one's own is trained."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from coevolve.engine.local.models import load_model, quiet
from coevolve.engine.local.trained import assign, no_reference
from coevolve.types import Floats


class WholeModel:
    """All weights of a model; implements :class:`coevolve.engine.local.trained.Trained`.

    Args:
        model_path: Hugging Face folder of the weights.
        dtype: their precision.
        device: where they live, as torch names it.

    Raises:
        ModelError: the folder cannot be used.
    """

    adapter = False

    def __init__(self, model_path: Path, *, dtype: str, device: str) -> None:
        self.model: nn.Module = load_model(model_path, dtype=dtype).to(device)  # type: ignore[arg-type]
        self.parameters = dict(self.model.named_parameters())
        self._reference: nn.Module | None = None

    def numpy(self) -> dict[str, Floats]:
        """Copies of the weights as float32; tied weights appear under each of their names."""
        return {
            name: value.detach().to("cpu", torch.float32, copy=True).numpy()
            for name, value in self.model.state_dict().items()
        }

    def load(self, weights: Mapping[str, Floats]) -> None:
        """Overwrite the weights in place.

        Raises:
            EngineError: names or shapes are not those of ``numpy``.
        """
        assign(self.model.state_dict(), weights)

    def save(self, folder: Path) -> None:
        """Write config.json and the weights."""
        with quiet():
            self.model.save_pretrained(str(folder))  # type: ignore[operator]

    def set_reference(self) -> None:
        """Make the present weights the reference, in a second model."""
        if self._reference is None:
            self._reference = copy.deepcopy(self.model).requires_grad_(False)
        else:
            self._reference.load_state_dict(self.model.state_dict())

    @contextmanager
    def reference(self) -> Iterator[nn.Module]:
        """The model with the reference's weights.

        Raises:
            EngineError: there is no reference.
        """
        if self._reference is None:
            raise no_reference()
        yield self._reference
