"""Trained weights of which every process holds a part, by FSDP2; each method is called in all processes at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from coevolve.config import LoraSection
from coevolve.engine.local.full import WholeModel, assign, no_reference
from coevolve.engine.local.lora import Adapter, matrices_of, write_adapter
from coevolve.engine.local.models import load_model, quiet
from coevolve.engine.local.packing import MicroBatch
from coevolve.engine.local.scoring import hidden_states
from coevolve.errors import ConfigError, EngineError
from coevolve.types import Floats


def divide(model: nn.Module, mesh: DeviceMesh) -> None:
    """Leave each process its part of every parameter; layers are gathered one at a time while they compute.

    Gradients are summed over the processes, not averaged: the weights of a batch's tokens hold the normalisation.
    Embedding, last norm and head are gathered at the beginning of a pass and stay until its backward pass is over:
    the head runs outside of the model's own ``forward``, portion by portion.

    Raises:
        EngineError: the model has no layers that transformers marks as such.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise EngineError(f"the layers of {type(model).__name__} cannot be divided", fix="engine.backend=local")
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # a plain sum; gloo knows no other reduction

    def hidden(micro: MicroBatch, device: torch.device) -> Tensor:
        return hidden_states(model, micro, device)

    cast(Any, model).hidden = hidden
    register_fsdp_forward_method(model, "hidden")


def hidden_of(model: nn.Module, micro: MicroBatch, device: torch.device) -> Tensor:
    """``hidden_states`` of a divided model, whose parts are gathered for it."""
    states: Tensor = cast(Any, model).hidden(micro, device)
    return states


def gathered(value: Tensor) -> Tensor:
    """A whole tensor on the CPU."""
    whole: Tensor = value.full_tensor() if isinstance(value, DTensor) else value
    return whole.detach().to("cpu", copy=True)


def fill(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Overwrite divided tensors with whole ones, which every process has; nobody waits for another.

    Raises:
        EngineError: names or shapes differ; nothing was copied then.
    """
    assign(own, {name: _part(value, own[name]) if name in own else value for name, value in weights.items()})


def _part(whole: Tensor, like: Tensor) -> Tensor:
    if not isinstance(like, DTensor) or whole.shape != like.shape:
        return whole
    whole = whole.to(like.device, like.dtype)
    part: Tensor = distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
    return part


class DividedModel:
    """All weights of a model, a part in each process; implements :class:`coevolve.engine.local.full.Trained`.

    Args:
        whole: ready to be trained; it is divided.
        path: the folder that it was loaded from.
        dtype: its precision, a name as in the configuration.
        device: of this process.
        mesh: all processes.
    """

    adapter = False

    def __init__(self, whole: WholeModel, path: Path, *, dtype: str, device: str, mesh: DeviceMesh) -> None:
        self._path, self._dtype, self._device, self._mesh = path, dtype, device, mesh
        self.model = whole.model
        divide(self.model, mesh)
        self.parameters = dict(self.model.named_parameters())
        self._reference: nn.Module | None = None
        self._refers_to_itself = False

    def numpy(self) -> dict[str, Floats]:
        """Copies of the weights as float32 in the first process, nothing in the others."""
        return {name: value.float().numpy() for name, value in self._gathered().items()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Overwrite the weights. Of a matrix that has two names one is enough, as in a file.

        Raises:
            EngineError: names or shapes are not those of the model.
        """
        own = self._named()
        given = {id(own[name]): value for name, value in weights.items() if name in own}
        twins = {name: given[id(value)] for name, value in own.items() if id(value) in given}
        fill(own, twins | dict(weights))

    def save(self, folder: Path) -> None:
        """Write config.json and the weights, in the first process."""
        whole = self._gathered()
        if self._mesh.get_rank() == 0:
            with quiet():
                self.model.save_pretrained(str(folder), state_dict=whole)  # type: ignore[operator]

    def set_reference(self, folder: Path | None = None) -> nn.Module:
        """Make the present weights the reference, in a second model, or those of another folder.

        Returns:
            The second model, to be made ready and then divided by ``divide_reference``.

        Raises:
            ModelError: the folder cannot be used.
        """
        loaded: nn.Module = load_model(folder or self._path, dtype=self._dtype).to(self._device)  # type: ignore[arg-type]
        self._reference, self._refers_to_itself = loaded.requires_grad_(False), folder is None
        return loaded

    def divide_reference(self) -> None:
        """Leave each process its part of the reference."""
        if self._reference is None:
            raise no_reference()
        divide(self._reference, self._mesh)
        if self._refers_to_itself:
            assign(dict(self._reference.named_parameters()), self.parameters)

    @contextmanager
    def reference(self) -> Iterator[nn.Module]:
        """The model with the reference's weights.

        Raises:
            EngineError: there is no reference.
        """
        if self._reference is None:
            raise no_reference()
        yield self._reference

    def _named(self) -> dict[str, Tensor]:
        named: dict[str, Tensor] = self.model.state_dict(keep_vars=True)
        return named

    def _gathered(self) -> dict[str, Tensor]:
        """Whole weights by all of their names, in the first process; a matrix of two names is gathered once."""
        found: dict[int, Tensor] = {}
        named = self._named()
        for value in named.values():
            if id(value) not in found:
                whole = gathered(value)
                found[id(value)] = whole if self._mesh.get_rank() == 0 else whole.new_empty(0)
        return {name: found[id(value)] for name, value in named.items()} if self._mesh.get_rank() == 0 else {}


class DividedAdapter:
    """LoRA matrices and their base, a part in each process; implements :class:`coevolve.engine.local.full.Trained`.

    Args:
        adapter: ready to be trained; its modules are divided, the base that the process shares stays whole.
        path: folder of the base model.
        lora: rank, alpha and targets.
        mesh: all processes.

    Raises:
        ConfigError: a target is outside of the layers.
    """

    adapter = True

    def __init__(self, adapter: Adapter, path: Path, lora: LoraSection, *, mesh: DeviceMesh) -> None:
        self._path, self._lora, self._mesh = path, lora, mesh
        self.model = adapter.model
        head = self.model.get_output_embeddings()  # type: ignore[operator]
        if any(parameter.requires_grad for parameter in head.parameters()):
            raise ConfigError(
                "engine.backend=fsdp trains adapters of the layers' matrices only",
                where="lora.targets",
                fix="leave out the head",
            )
        names = {id(value): name for name, value in adapter.parameters.items()}
        places = {name: names[id(value)] for name, value in self.model.named_parameters() if id(value) in names}
        divide(self.model, mesh)
        divided = dict(self.model.named_parameters())
        self.parameters = {name: divided[place] for place, name in places.items()}
        self._reference: dict[str, Tensor] | None = None

    def numpy(self) -> dict[str, Floats]:
        """Copies of the adapter's matrices in the first process, nothing in the others."""
        return {name: value.numpy() for name, value in self._gathered().items()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Overwrite the adapter's matrices; none at all gives the base model.

        Raises:
            EngineError: names or shapes are not those of the adapter.
        """
        _fill_adapter(self.parameters, weights)

    def save(self, folder: Path) -> None:
        """Write the two files of an adapter, in the first process."""
        whole = self._gathered()
        if whole:
            write_adapter(folder, whole, self._lora, base=str(self._path))

    def set_reference(self, folder: Path | None = None) -> None:
        """Make the present matrices the reference, or those of another adapter's folder, or the base model itself.

        Raises:
            EngineError: names or shapes of the folder's matrices are not those of this adapter.
            ModelError: it holds none.
        """
        self._reference = matrices_of(folder, self._path, self.parameters, _fill_adapter)

    @contextmanager
    def reference(self) -> Iterator[nn.Module]:
        """The same modules with the reference's matrices in the place of the trained ones.

        Raises:
            EngineError: there is no reference.
        """
        if self._reference is None:
            raise no_reference()
        own = {name: value.detach().clone() for name, value in self.parameters.items()}
        try:
            assign(self.parameters, self._reference)
            yield self.model
        finally:
            assign(self.parameters, own)

    def _gathered(self) -> dict[str, Tensor]:
        whole = {name: gathered(value) for name, value in self.parameters.items()}
        return whole if self._mesh.get_rank() == 0 else {}


def _fill_adapter(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    fill(own, weights or {name: torch.zeros(value.shape) for name, value in own.items()})
