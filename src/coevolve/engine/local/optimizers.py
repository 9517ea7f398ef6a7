"""AdamW, with moments of 32 or of 8 bits, and its state as it goes to files, to the last bit."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from coevolve.errors import ConfigError, EngineError

Kind = Literal["adamw", "adamw-8bit"]
_MAPS = {"qmap1": "dynamic", "qmap2": "udynamic"}  # what the 256 codes of 8-bit moments stand for, one table for all


def new_optimizer(
    kind: Kind, parameters: Iterable[nn.Parameter], *, betas: tuple[float, float], weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only.

    ``adamw-8bit`` keeps both moments in 8 bits with a scale for every 256 of them (Dettmers et al., arXiv 2110.02861);
    parameters of fewer than 4,096 numbers keep them in 32.

    Raises:
        ConfigError: bitsandbytes, which has the 8-bit one, is not installed.
    """
    listed = list(parameters)
    groups = [
        {"params": [p for p in listed if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in listed if p.ndim < 2], "weight_decay": 0.0},
    ]
    if kind == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)
    require_8bit()
    from bitsandbytes.optim.adamw import AdamW8bit

    optimizer: torch.optim.Optimizer = AdamW8bit(groups, lr=0.0, betas=betas)
    return optimizer


def require_8bit() -> None:
    """
    Raises:
        ConfigError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise ConfigError(
            "8-bit moments need the package bitsandbytes",
            where="engine.optimizer",
            fix="install it: pip install 'coevolve[8bit]'",
        )


def save_checkpoint(optimizer: torch.optim.Optimizer, kind: Kind, file: Path) -> None:
    """Write the state for a later phase."""
    with file.open("wb") as stream:  # given a path, torch hides why it cannot write
        torch.save({kind: optimizer.state_dict()}, stream)


def load_checkpoint(optimizer: torch.optim.Optimizer, kind: Kind, file: Path, device: torch.device) -> None:
    """Take up what ``save_checkpoint`` wrote.

    Raises:
        EngineError: the file is missing, or that of another model or optimiser.
    """
    if not file.is_file():
        raise EngineError(f"{file.name} is missing", where=str(file.parent), fix="resume from another checkpoint")
    state = torch.load(file, map_location=device, weights_only=True)
    if kind not in state:
        raise EngineError(f"The optimiser state is that of {', '.join(state)}, not of {kind}", where=str(file))
    try:
        optimizer.load_state_dict(state[kind])
    except ValueError as error:
        raise EngineError("The optimiser state is that of another model", where=str(file)) from error
    for own in optimizer.state.values():
        _share_maps(optimizer, own)


def save_exactly(optimizer: torch.optim.Optimizer, weights: Mapping[str, nn.Parameter], file: Path) -> None:
    """Write weights and state into one safetensors file."""
    tensors: dict[str, Tensor] = {f"weight.{name}": value.detach() for name, value in weights.items()}
    numbers: dict[str, int] = {}
    order = [*tensors]
    for number, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            key = f"adamw.{number}.{name}"
            order.append(key)
            if not isinstance(value, Tensor):
                numbers[key] = value
            elif name not in _MAPS:
                tensors[key] = value
    # The order of the entries and the last learning rates decide the bytes of the checkpoint that comes next.
    rest = {"order": order, "numbers": numbers, "lr": [g["lr"] for g in optimizer.param_groups]}
    save_file({name: x.contiguous() for name, x in tensors.items()}, file, metadata={"rest": json.dumps(rest)})


def load_exactly(
    optimizer: torch.optim.Optimizer, weights: Mapping[str, nn.Parameter], file: Path, device: torch.device
) -> None:
    """Take up what ``save_exactly`` wrote.

    Raises:
        SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError: the file is none of these, or that of
            another model.
    """
    with safe_open(file, framework="pt", device=str(device)) as source:
        rest = json.loads(source.metadata()["rest"])
        entries: dict[str, Any] = dict.fromkeys(rest["order"])  # the maps have no value of their own
        entries |= {name: source.get_tensor(name).clone() for name in source.keys()} | rest["numbers"]  # noqa: SIM118
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(entries[f"weight.{name}"])
    for number, parameter in enumerate(_parameters(optimizer)):
        prefix = f"adamw.{number}."
        # Interned as the optimiser's own names are: a checkpoint is a pickle, which writes one object once.
        own = {sys.intern(name.removeprefix(prefix)): x for name, x in entries.items() if name.startswith(prefix)}
        if own:
            _share_maps(optimizer, own)
            optimizer.state[parameter] = own
        else:
            optimizer.state.pop(parameter, None)  # it has not moved yet
    for group, lr in zip(optimizer.param_groups, rest["lr"], strict=True):
        group["lr"] = lr


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _share_maps(optimizer: Any, own: dict[str, Any]) -> None:
    """Let a parameter's state use the optimiser's own tables, as it does before it was ever written to a file."""
    for name in _MAPS.keys() & own.keys():
        table = optimizer.name2qmap[_MAPS[name]].to(own["state1"].device)
        own[name] = optimizer.name2qmap[_MAPS[name]] = table
