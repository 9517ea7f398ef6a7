"""One base model in memory per process, however many module trees compute with its parameters."""

from __future__ import annotations

import copy
from pathlib import Path
from weakref import WeakValueDictionary

import torch
from torch import nn

from coevolve.engine.local.models import load_model

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
