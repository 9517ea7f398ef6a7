"""The accelerators that torch finds, and what their makers promise of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coevolve.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Card:
    """Peak numbers of a graphics card, as its data sheet gives them.

    Args:
        tflops: 10^12 operations per second of dense bfloat16 products with fp32 sums (no sparsity).
        bandwidth: 10^9 bytes per second from its memory.
        gigabytes: of memory, as its name says.
    """

    tflops: float
    bandwidth: float
    gigabytes: int


# By the name that torch gives the card, without its maker's. Sources: NVIDIA's data sheets and architecture papers.
CARDS: Mapping[str, Card] = {
    "B200": Card(2250, 8000, 180),
    "H200": Card(989, 4800, 141),
    "H100 80GB HBM3": Card(989, 3350, 80),
    "H100 NVL": Card(835, 3900, 94),
    "H100 PCIe": Card(756, 2000, 80),
    "A100-SXM4-80GB": Card(312, 2039, 80),
    "A100 80GB PCIe": Card(312, 1935, 80),
    "A100-SXM4-40GB": Card(312, 1555, 40),
    "A100-PCIE-40GB": Card(312, 1555, 40),
    "L40S": Card(362, 864, 48),
    "L40": Card(181, 864, 48),
    "L4": Card(121, 300, 24),
    "A40": Card(150, 696, 48),
    "A10": Card(125, 600, 24),
    "RTX 6000 Ada Generation": Card(364, 960, 48),
    "RTX A6000": Card(155, 768, 48),
    "RTX 5090": Card(210, 1792, 32),
    "RTX 4090": Card(165, 1008, 24),
    "RTX 3090": Card(71, 936, 24),
}


def card_of(name: str) -> Card | None:
    """The peak numbers of a card by torch's name for it; None for one that is not in the table."""
    return CARDS.get(name.removeprefix("NVIDIA ").removeprefix("GeForce "))


@dataclass(frozen=True, slots=True)
class Gpu:
    """A CUDA device as torch sees it; memory in bytes."""

    name: str
    total: int
    free: int
    bfloat16: bool

    @property
    def usable(self) -> int:
        """All of it, or what is free where another program holds more than a tenth."""
        return self.total if self.free > 0.9 * self.total else self.free

    @property
    def room(self) -> str:
        """``85.0 GB on NVIDIA H100 80GB HBM3``."""
        others = "" if self.usable == self.total else " that are free"
        return f"{self.usable / 1e9:.1f} GB{others} on {self.name}"


def gpus() -> list[Gpu]:
    """All CUDA devices of this process, in torch's order; empty without any."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        found.append(Gpu(facts.name, total, free, facts.major >= 8))
    return found


def why_no_gpu() -> str:
    """One sentence for a machine where :func:`gpus` finds nothing."""
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA"
    return f"torch was built for CUDA {torch.version.cuda}, but no driver or device answers (try nvidia-smi)"


def require_device(name: str) -> None:
    """Refuse a device that is not there, before anything is loaded.

    Args:
        name: ``engine.device``.

    Raises:
        ConfigError: it is ``cuda``, and torch finds no GPU.
    """
    if name == "cuda" and not gpus():
        raise ConfigError(why_no_gpu(), where="engine.device=cuda", fix="coevolve doctor says what there is")


def has_mps() -> bool:
    """Whether torch could use an Apple GPU; coevolve does not."""
    import torch

    return torch.backends.mps.is_available()
