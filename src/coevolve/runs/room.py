"""What a run needs, held against this machine: positions of its model, memory, disk. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coevolve.engine.planning.devices import Gpu
from coevolve.errors import CoevolveError, ConfigError, EngineError, RunError
from coevolve.methods.registry import KEYS_OF_A_REAL_MODEL
from coevolve.runs.estimate import Fit, fit_here, gpu_here, sentence
from coevolve.runs.machine import free_disk, memory_bytes
from coevolve.runs.plan import Needs

GIGABYTE = 1e9


def shortages(
    needs: Needs, fit: Fit | None, gpu: Gpu | None, memory: int, folder: Path, cache: Path | None = None
) -> list[CoevolveError]:
    """Everything that keeps a run from this machine, each as the error that a start would end with.

    Without the device that a run is laid out for, only what does not depend on the machine is held against it.

    Args:
        fit: its memory plan; None where the sizes of its model are not known.
        gpu: the first GPU of this machine.
        memory: bytes of main memory.
        folder: where the run will be.
        cache: where a model is downloaded to; None: beside the run.
    """
    found = too_long(needs)
    on_gpu = needs.load.settings.engine.device == "cuda"
    if on_gpu and gpu is None:
        return found
    return [*found, *(_memory(needs, fit, memory) if fit else []), *_disk(needs, folder, cache or folder)]


def shortages_here(needs: Needs, folder: Path) -> list[CoevolveError]:
    """The same for this machine and the place of the run's folder."""
    cache = None
    if needs.fetched:
        from huggingface_hub import constants

        cache = Path(constants.HF_HUB_CACHE)
    fit = fit_here(needs.shape, needs.load)
    return shortages(needs, fit, gpu_here(needs.load), memory_bytes(), folder, cache)


def too_long(needs: Needs) -> list[CoevolveError]:
    """Texts that do not fit into the positions of the model, nor into what vLLM is told to hold."""
    settings, load = needs.load.settings, needs.load
    limits = {f"the {needs.positions} positions of {needs.model}": needs.positions}
    if settings.engine.sampler == "vllm":
        limits[f"vllm.max_length={settings.vllm.max_length}"] = settings.vllm.max_length
    for name, limit in limits.items():
        if limit is not None and load.longest > limit:
            most = limit - load.prompt_tokens
            smaller = f"at most {most}" if most > 0 else "smaller, or another model"
            return [
                ConfigError(
                    f"texts of up to {load.text_tokens} tokens after a prompt of up to {load.prompt_tokens} do not fit "
                    f"into {name}",
                    where="sampling.max_tokens, sampling.question_tokens",
                    fix=f"both {smaller}",
                )
            ]
    return []


def _memory(needs: Needs, fit: Fit, memory: int) -> Sequence[CoevolveError]:
    engine = needs.load.settings.engine
    if engine.device == "cuda":
        return [] if fit.fits else [EngineError(sentence(fit), where="engine.device=cuda", fix=_SMALLER)]
    if fit.memory.peak <= memory:
        return []
    largest = sorted(fit.memory.parts, key=lambda part: -part.bytes)[:3]
    parts = ", ".join(f"{part.name} {part.bytes / GIGABYTE:.1f}" for part in largest)
    lean = needs.load.settings.lora.enabled and needs.load.weight_bytes < 4
    return [
        EngineError(
            f"the run needs {fit.memory.peak / GIGABYTE:.1f} GB of memory, and this machine has "
            f"{memory / GIGABYTE:.1f} GB; the largest parts in GB: {parts}",
            where="engine.device=cpu",
            fix="fewer engine.workers or engine.max_rows"
            if lean
            else f"{KEYS_OF_A_REAL_MODEL}; or fewer engine.workers or engine.max_rows",
        )
    ]


_SMALLER = "a smaller engine.micro_batch_tokens, engine.max_rows or sampling.max_tokens, or lora.enabled=true"


def _disk(needs: Needs, folder: Path, cache: Path) -> list[CoevolveError]:
    here, there = free_disk(folder), free_disk(cache)
    together = needs.stored + (needs.fetched if _same_disk(folder, cache) else 0)
    found: list[CoevolveError] = []
    if together > here:
        what = f"the run keeps {_size(needs.stored)}"
        what += f" and downloads {_size(needs.fetched)}" if together > needs.stored else ""
        found.append(
            RunError(
                f"{what}, and {_size(here)} of disk are free",
                where=str(folder),
                fix="make room, or choose another disk: --set run.dir=...; less is kept with "
                "run.keep_trajectories=false and lora.enabled=true",
            )
        )
    elif needs.fetched > there:
        what = f"{needs.model} is a download of {_size(needs.fetched)}, and {_size(there)} of disk are free"
        found.append(RunError(what, where=str(cache), fix="make room, or choose another disk: HF_HOME=..."))
    return found


def _same_disk(one: Path, other: Path) -> bool:
    return _existing(one).stat().st_dev == _existing(other).stat().st_dev


def _existing(folder: Path) -> Path:
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _size(count: int) -> str:
    return f"{count / GIGABYTE:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
