"""What a run will take of its device, before anything is loaded, and which presets a machine can run."""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.config.resources import EngineSettings
from coevolve.engine.factory import require_engine
from coevolve.engine.planning.budget import Workload, fitting_micro_batch, memory_plan
from coevolve.engine.planning.devices import Gpu, gpus
from coevolve.engine.planning.memory import MemoryPlan
from coevolve.engine.planning.shapes import ModelShape
from coevolve.errors import CoevolveError, ModelError
from coevolve.methods.registry import load_config
from coevolve.rollout.service import worker_count
from coevolve.runs.machine import memory_bytes
from coevolve.runs.plan import needs_of, shape_of, workload
from coevolve.worlds.registry import world_named


@dataclass(frozen=True, slots=True)
class Fit:
    """The memory plan of a run, held against the device that was found.

    Args:
        gpu: the device; None without one, or on CPU.
        micro_batch: the largest ``engine.micro_batch_tokens`` that fits the device, 0 if none does; None without one.
        on_cpu: the plan is one of main memory.
    """

    memory: MemoryPlan
    gpu: Gpu | None
    micro_batch: int | None
    on_cpu: bool = False

    @property
    def fits(self) -> bool | None:
        """Whether the plan fits the device; None without one."""
        return None if self.gpu is None else self.memory.peak <= self.gpu.usable


def fit_of(shape: ModelShape | None, load: Workload, gpu: Gpu | None) -> Fit | None:
    """The plan against a GPU; None where the sizes of the base model are not known yet."""
    if shape is None:
        return None
    plan = memory_plan(shape, load, workers=worker_count(load.settings.engine), capacity=gpu.usable if gpu else None)
    on_cpu = load.settings.engine.device == "cpu"
    return Fit(plan, gpu, fitting_micro_batch(shape, load, gpu.usable) if gpu else None, on_cpu)


def fit_here(shape: ModelShape | None, load: Workload) -> Fit | None:
    """The same for the first GPU of this machine, if the run uses one."""
    return fit_of(shape, load, gpu_here(load))


def gpu_here(load: Workload) -> Gpu | None:
    """The first GPU of this machine, if there is one and the run uses it."""
    found = gpus() if load.settings.engine.device == "cuda" else []
    return found[0] if found else None


def sentence(fit: Fit) -> str:
    """One line for the start of a run: ``memory plan: 19.7 of 25.4 GB on ...``."""
    peak = f"{fit.memory.peak / 1e9:.1f}"
    if fit.gpu is None:
        here = f" of {memory_bytes() / 1e9:.1f}" if fit.on_cpu else ""
        return f"memory plan: {peak}{here} GB"
    line = f"memory plan: {peak} of {fit.gpu.room}"
    if fit.fits:
        return f"{line}; micro-batches of up to {fit.micro_batch:,} tokens would fit"
    if fit.micro_batch:
        return f"{line}: too much; engine.micro_batch_tokens={fit.micro_batch} would fit"
    return f"{line}: too much for any micro-batch; smaller: engine.max_rows, sampling.max_tokens, or lora.enabled=true"


def forewords(shape: ModelShape | None, load: Workload, world: str) -> list[str]:
    """What a run says before it loads a model of one's own: its memory plan by parts."""
    planned_for = world_named(world).sizes is None or load.settings.engine.device == "cuda"
    fit = fit_here(shape, load) if planned_for else None
    if fit is None:
        return []
    parts = ", ".join(f"{part.name} {part.bytes / 1e9:.1f}" for part in fit.memory.parts if part.bytes >= 5e7)
    return [sentence(fit), f"its parts in GB: {parts}"]


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
    device = "CPU" if not on_gpu else "GPU" if config.engine.gpus == 1 else f"{config.engine.gpus} GPUs"
    try:
        shape, asked = shape_of(config), needs_of(config)
    except ModelError as error:  # such as a package that is not installed
        return Suitability(name, device, f"{error.what} ({error.fix})")
    fit = fit_of(shape, workload(config), gpu if on_gpu else None)
    fetched, stored = asked.fetched, asked.fetched + asked.stored
    needs = f"{device}, {_gigabytes(fit.memory.peak)}" if fit else device
    needs += f"; {_gigabytes(fetched)} to download" if fetched else ""
    if on_gpu and gpu is None:
        return Suitability(name, needs, "no GPU")
    return Suitability(name, needs, _obstacle(config.engine_settings, fit, memory, disk, stored))


def _obstacle(settings: EngineSettings, fit: Fit | None, memory: int, disk: int, stored: int) -> str:
    try:
        require_engine(settings)
    except CoevolveError as error:
        return f"{error.what} ({error.fix})"
    if fit and fit.gpu and not fit.fits:
        return f"only {fit.gpu.room}"
    if fit and fit.gpu and settings.model.dtype == "bfloat16" and not fit.gpu.bfloat16:
        return f"{fit.gpu.name} has no bfloat16"
    if fit and settings.engine.device == "cpu" and fit.memory.peak > memory:
        return f"this machine has {_gigabytes(memory)} of memory"
    if stored > disk:
        return f"a run keeps {_gigabytes(stored)}, and {_gigabytes(disk)} of disk are free"
    return ""


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
