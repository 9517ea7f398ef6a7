"""Process-wide settings of torch."""

from __future__ import annotations

import os


def use_threads(threads: int) -> None:
    """Set the intra-op threads; waiting OpenMP threads sleep instead of spinning on a shared machine."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)
