"""Running out of memory, as torch reports it."""

from __future__ import annotations

import torch

_ON_CPU = "DefaultCPUAllocator: can't allocate memory"  # torch has no type of its own for it


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that there was no room for a tensor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _ON_CPU in str(error)


def give_back(device: torch.device) -> None:
    """Return memory that torch holds without using it, so that the next try finds it in one piece."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
