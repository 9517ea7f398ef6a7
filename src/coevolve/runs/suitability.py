"""Which presets a machine can run, and what is in the way of the others."""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.config import Config
from coevolve.config.loading import load_config
from coevolve.engine.factory import require_engine
from coevolve.engine.planning.devices import Gpu
from coevolve.errors import CoevolveError
from coevolve.runs.estimate import Fit, fit_of
from coevolve.runs.plan import planned, shape_of
from coevolve.worlds.registry import open_world


@dataclass(frozen=True, slots=True)
class Suitability:
    """A preset against a machine.

    Args:
        needs: device and memory, and what would be downloaded.
        obstacle: why it cannot run here; empty where it can.
    """

    preset: str
    needs: str
    obstacle: str


def suitability(name: str, gpu: Gpu | None, memory: int, disk: int) -> Suitability:
    """One preset.

    Args:
        name: of the preset.
        gpu: the first GPU of the machine.
        memory, disk: bytes of main memory, and free on the disk.

    Raises:
        ConfigError: there is no such preset.
    """
    config = load_config(name)
    on_gpu = config.engine.device == "cuda"
    fit = fit_of(config, gpu if on_gpu else None)
    fetched = _to_fetch(config)
    needs = f"{_device(config)}, {_gigabytes(fit.memory.peak)}" if fit else _device(config)
    needs += f"; {_gigabytes(fetched)} to download" if fetched else ""
    stored = fetched + sum(phase.disk_bytes for phase in planned(config))
    if config.engine.gpus > 1:
        return Suitability(name, needs, "this version runs on one GPU")
    if on_gpu and gpu is None:
        return Suitability(name, needs, "no GPU")
    return Suitability(name, needs, _obstacle(config, fit, memory, disk, stored))


def _obstacle(config: Config, fit: Fit | None, memory: int, disk: int, stored: int) -> str:
    try:
        require_engine(config.engine_settings)
    except CoevolveError as error:
        return f"{error.what} ({error.fix})"
    if fit and fit.gpu and not fit.fits:
        return f"only {fit.gpu.room}"
    if fit and fit.gpu and config.model.dtype == "bfloat16" and not fit.gpu.bfloat16:
        return f"{fit.gpu.name} has no bfloat16"
    if fit and config.engine.device == "cpu" and fit.memory.peak > memory:
        return f"this machine has {_gigabytes(memory)} of memory"
    if stored > disk:
        return f"a run keeps {_gigabytes(stored)}, and {_gigabytes(disk)} of disk are free"
    return ""


def _to_fetch(config: Config) -> int:
    """Bytes of a base model that is not on this machine yet; 0 also where its size is not known."""
    if config.model.path is None or open_world(config).base_model().exists():
        return 0
    shape = shape_of(config)
    return shape.parameters * 2 if shape else 0  # they are published in bfloat16


def _device(config: Config) -> str:
    if config.engine.device == "cpu":
        return "CPU"
    return "GPU" if config.engine.gpus == 1 else f"{config.engine.gpus} GPUs"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
