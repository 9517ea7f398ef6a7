"""AdamW, with moments of 32 or of 8 bits, and its state as it goes to files, to the last bit."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
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


def save_optimizer(optimizer: torch.optim.Optimizer, kind: Kind, file: Path) -> None:
    """Write the moments and steps of every parameter, exactly. The learning rate is not in it: every step sets it.

    Equal states give equal bytes, whether or not they have been in a file before.
    """
    state = [
        # A pickle writes an object once that it meets twice, so that the names must be the same objects every time.
        {sys.intern(name): value for name, value in sorted(optimizer.state.get(p, {}).items()) if name not in _MAPS}
        for p in _parameters(optimizer)
    ]
    with file.open("wb") as stream:  # given a path, torch hides why it cannot write
        torch.save({kind: state}, stream)


def load_optimizer(optimizer: torch.optim.Optimizer, kind: Kind, file: Path, device: torch.device) -> None:
    """Restore what ``save_optimizer`` wrote.

    Raises:
        EngineError: the file is missing or damaged, or that of another model or optimiser.
    """
    if not file.is_file():
        raise EngineError(f"{file.name} is missing", where=str(file.parent), fix="resume from another checkpoint")
    try:
        saved: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise EngineError(f"The optimiser state cannot be read: {error}", where=str(file)) from error
    if kind not in saved:
        raise EngineError(f"The optimiser state is that of {', '.join(saved)}, not of {kind}", where=str(file))
    parameters, state = _parameters(optimizer), saved[kind]
    if len(state) != len(parameters) or not all(map(_fits, parameters, state)):
        raise EngineError("The optimiser state is that of another model", where=str(file))
    for parameter, own in zip(parameters, state, strict=True):
        optimizer.state.pop(parameter, None)
        if own:  # else it has not moved yet
            optimizer.state[parameter] = own | _maps(optimizer, own)


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _fits(parameter: nn.Parameter, state: Mapping[str, Any]) -> bool:
    """Whether a state's moments have the shape of a parameter."""
    moments = [state[name] for name in ("exp_avg", "exp_avg_sq", "state1", "state2") if name in state]
    return all(moment.shape == parameter.shape for moment in moments)


def _maps(optimizer: Any, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tables of a parameter's 8-bit moments: the optimiser has one of each kind for all parameters."""
    if "absmax1" not in state:
        return {}
    if not optimizer.name2qmap:
        optimizer.fill_qmap()
    for table in _MAPS.values():
        optimizer.name2qmap[table] = optimizer.name2qmap[table].to(state["state1"].device)
    return {name: optimizer.name2qmap[table] for name, table in _MAPS.items()}
