"""Process-wide settings of torch, and what its memory leaves behind."""

from __future__ import annotations

import ctypes
import gc
import os
import sys


def use_threads(threads: int) -> None:
    """Set the intra-op threads; waiting OpenMP threads sleep instead of spinning on a shared machine."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)


def return_free_memory() -> None:
    """Give back to the system what this process has freed.

    The C library keeps freed blocks below 32 MB for later ones. Caches that grew and models that were opened for a
    moment leave many of them, in pieces that a larger tensor does not fit into. Only glibc can be asked to.
    """
    gc.collect()  # what is left in cycles may be the weights and moments of a whole model
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
