"""Full fine-tuning: every parameter of a model of one's own is trained."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from coevolve.engine.local.models import load_model, quiet
from coevolve.errors import EngineError
from coevolve.types import Floats

_HELD: WeakValueDictionary[tuple[str, str, str], nn.Module] = WeakValueDictionary()


def shared_base(path: Path, *, dtype: str, device: str) -> nn.Module:
    """The frozen model of a folder; the same object again for as long as anybody holds it.

    Args:
        path: a Hugging Face folder.
        dtype: precision of the weights, a name as in the configuration.
        device: where they live, as torch names it.

    Raises:
        ModelError: the folder cannot be used.
    """
    key = (str(path.resolve()), dtype, str(torch.device(device)))
    base = _HELD.get(key)
    if base is None:
        base = load_model(path, dtype=dtype).to(device).requires_grad_(False)  # type: ignore[arg-type]
        _HELD[key] = base
    return base


def tree_of(base: nn.Module) -> nn.Module:
    """The modules of a model once more, over the same parameters and buffers.

    A tree may have its own attention function and adapters; whoever uses it holds the base as well.
    """
    return copy.deepcopy(base, {id(x): x for x in (*base.parameters(), *base.buffers())})


class WholeModel:
    """All weights of a model; implements :class:`coevolve.engine.local.full.Trained`.

    Args:
        model_path: Hugging Face folder of the weights.
        dtype: their precision.
        device: where they live, as torch names it.

    Raises:
        ModelError: the folder cannot be used.
    """

    adapter = False

    def __init__(self, model_path: Path, *, dtype: str, device: str) -> None:
        self._dtype, self._device = dtype, device
        self.model = self._open(model_path)
        self.parameters = dict(self.model.named_parameters())
        self._reference: nn.Module | None = None

    def numpy(self) -> dict[str, Floats]:
        """Copies of the weights as float32; tied weights appear under each of their names."""
        return {
            name: value.detach().to("cpu", torch.float32, copy=True).numpy()
            for name, value in self.model.state_dict().items()
        }

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Overwrite the weights in place. Of a matrix that has two names one is enough, as in a file.

        Raises:
            EngineError: names or shapes are not those of the model.
        """
        own = self.model.state_dict()
        by_place = {own[name].data_ptr(): value for name, value in weights.items() if name in own}
        twins = {name: by_place[x.data_ptr()] for name, x in own.items() if x.data_ptr() in by_place}
        assign(own, twins | dict(weights))

    def save(self, folder: Path) -> None:
        """Write config.json and the weights."""
        with quiet():
            self.model.save_pretrained(str(folder))  # type: ignore[operator]

    def set_reference(self, folder: Path | None = None) -> nn.Module | None:
        """Make the present weights the reference, in a second model, or those of another folder.

        Returns:
            The second model where it was loaded, as transformers makes it.

        Raises:
            ModelError: the folder cannot be used.
        """
        if folder is not None:
            self._reference = self._open(folder).requires_grad_(False)
            return self._reference
        if self._reference is None:
            self._reference = copy.deepcopy(self.model).requires_grad_(False)
        else:
            self._reference.load_state_dict(self.model.state_dict())
        return None

    @contextmanager
    def reference(self) -> Iterator[nn.Module]:
        """The model with the reference's weights.

        Raises:
            EngineError: there is no reference.
        """
        if self._reference is None:
            raise no_reference()
        yield self._reference

    def _open(self, folder: Path) -> nn.Module:
        model: nn.Module = load_model(folder, dtype=self._dtype).to(self._device)  # type: ignore[arg-type]
        return model


class Trained(Protocol):
    """A model, which of its parameters are trained, and the reference that the KL term compares it with."""

    model: nn.Module
    adapter: bool  # as in ``Arrays``
    parameters: dict[str, nn.Parameter]  # those that are trained, by the names of their files

    def numpy(self) -> dict[str, Floats]:
        """Copies of the trained weights as float32, as in ``Arrays``."""

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Overwrite the trained weights in place."""

    def save(self, folder: Path) -> None:
        """Write the weights and what says how to read them."""

    def set_reference(self, folder: Path | None = None) -> nn.Module | None:
        """Make the present weights the reference, or those of a folder; returns a model that was loaded for it."""

    def reference(self) -> AbstractContextManager[nn.Module]:
        """The model as the reference is, for the block; the trained weights are untouched after it."""


def assign(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Copy weights into tensors of the same names and shapes.

    Raises:
        EngineError: names or shapes differ; nothing was copied then.
    """
    if wrong := sorted(own.keys() ^ weights.keys()):
        raise EngineError(f"Weights with other names than the model's: {', '.join(wrong[:3])}")
    for name, value in own.items():
        if value.shape != weights[name].shape:
            raise EngineError(
                f"{name} has shape {tuple(weights[name].shape)}, the model needs {tuple(value.shape)}", where=name
            )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(weights[name])


def no_reference() -> EngineError:
    """What to say where a KL term has nothing to refer to."""
    return EngineError("The KL term needs a reference policy", fix="call set_reference() before")
