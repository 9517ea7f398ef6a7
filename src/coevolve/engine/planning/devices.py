"""The accelerators that torch finds."""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.errors import ConfigError


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


def require_device(name: str, count: int = 1) -> None:
    """Refuse a device that is not there, before anything is loaded.

    Args:
        name: ``engine.device``.
        count: how many of them, where they are GPUs: ``engine.gpus``.

    Raises:
        ConfigError: it is ``cuda``, and torch finds no GPU or not enough of them.
    """
    if name != "cuda":
        return
    found = len(gpus())
    if not found:
        raise ConfigError(why_no_gpu(), where="engine.device=cuda", fix="coevolve doctor says what there is")
    if found < count:
        fix = f"--gpus {found}; without GPUs: as many processes with engine.device=cpu"
        raise ConfigError(f"the run asks for {count} GPUs, and torch finds {found}", where="engine.gpus", fix=fix)


def has_mps() -> bool:
    """Whether torch could use an Apple GPU; coevolve does not."""
    import torch

    return torch.backends.mps.is_available()
