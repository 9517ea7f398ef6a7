"""The one door to engines: samplers and trainers as the configuration asks for them.

What an engine needs is imported when it is opened, so that asking for one costs nothing of another.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from coevolve.config import OptimizerSection
from coevolve.config.acting import Distribution
from coevolve.config.resources import EngineSettings
from coevolve.engine.base import Opening, Sampler, Trainer
from coevolve.engine.planning.devices import require_device
from coevolve.errors import ConfigError

if TYPE_CHECKING:
    from coevolve.engine.fsdp.leader import FsdpTrainers


def require_engine(settings: EngineSettings) -> None:
    """Refuse a machine that lacks what the engine needs, before anything begins.

    Raises:
        ConfigError: there is no such device or more than one is asked for, or a package is missing or another version.
    """
    engine = settings.engine
    if engine.backend == "local" and engine.gpus > 1:
        raise ConfigError(
            f"this run is laid out for {engine.gpus} GPUs, and engine.backend=local trains on one",
            where=f"engine.gpus={engine.gpus}",
            fix="engine.backend=fsdp; on one GPU: --preset qwen3-4b-1gpu, or engine.gpus=1 with smaller numbers",
        )
    if engine.backend == "tinker":
        from coevolve.engine.tinker.connection import require_tinker

        require_tinker()
        return  # models live on the server
    require_device(engine.device, engine.gpus)
    if engine.backend == "fsdp":
        from coevolve.engine.fsdp.group import require_fsdp

        require_fsdp()
    if engine.sampler == "vllm":
        from coevolve.engine.vllm.launch import require_vllm

        require_vllm()
    if settings.lora.enabled:
        from coevolve.engine.local.lora import require_peft

        require_peft()
    if engine.optimizer == "adamw-8bit":
        from coevolve.engine.local.optimizers import require_8bit

        require_8bit()


def open_sampler(settings: EngineSettings, model_path: Path) -> Sampler:
    """The sampler of ``engine.sampler`` over a model folder, in this process.

    Raises:
        ConfigError: what it needs is not installed, or there is no such device.
        ModelError: the folder is damaged.
        EngineError: the engine does not start.
    """
    from coevolve.engine.local.runtime import use_threads

    engine = settings.engine
    require_device(engine.device)
    use_threads(engine.threads)
    if engine.backend == "tinker":
        from coevolve.engine.tinker.connection import connect
        from coevolve.engine.tinker.sampler import TinkerSampler

        return TinkerSampler(connect(settings, model_path), model_path)
    if engine.sampler == "vllm":
        from coevolve.engine.vllm.sampler import VllmSampler

        return VllmSampler(settings, model_path)
    from coevolve.engine.local.sampler import LocalSampler

    return LocalSampler(
        model_path,
        max_rows=engine.max_rows,
        dtype=settings.model.dtype,
        device=engine.device,
        lora=settings.lora if settings.lora.enabled else None,
    )


class Trainers:
    """Opens the trainers of a run, one after the other.

    Args:
        settings: what the configuration says of engines.
        base: folder of the base model.
        note: told in a sentence when memory has run out.
    """

    def __init__(self, settings: EngineSettings, base: Path, note: Callable[[str], None]) -> None:
        from coevolve.engine.local.runtime import use_threads

        use_threads(settings.engine.threads)
        self._settings, self._base, self._note = settings, base, note
        self._micro_batch_tokens = settings.engine.micro_batch_tokens
        self._fsdp: FsdpTrainers | None = None
        self._open = {"local": self._open_local, "fsdp": self._open_fsdp, "tinker": self._open_remote}[
            settings.engine.backend
        ]

    def open_trainer(
        self, folder: Path, section: OptimizerSection, drawn: Distribution, *, resume: bool, reference: Path | None
    ) -> Trainer:
        """A trainer on the weights of a folder: a model, or with LoRA an adapter or the base model.

        Args:
            folder: the weights to begin with.
            section: of its optimiser.
            drawn: what the tokens are drawn from that it is trained on.
            resume: take the optimiser's state from the folder too.
            reference: folder of the KL term's policy; None where there is no such term.

        Raises:
            ConfigError: what it needs is not installed.
            EngineError: the folder holds no optimiser state, or the model is of a kind that cannot be trained.
            ModelError: a folder cannot be used.
        """
        asked = Opening(self._settings, self._base, folder, section, drawn, resume, reference, self._micro_batch_tokens)
        return self._open(asked)

    @property
    def processes(self) -> tuple[int, ...]:
        """Ids of the processes that train beside this one."""
        return self._fsdp.processes if self._fsdp is not None else ()

    def close(self) -> None:
        """End what was started for training beside this process; the trainers are of no use then."""
        if self._fsdp is not None:
            self._fsdp.close()

    def _open_local(self, asked: Opening) -> Trainer:
        from coevolve.engine.local.opening import opened
        from coevolve.engine.local.runtime import return_free_memory
        from coevolve.engine.local.trainer import LocalTrainer

        return_free_memory()
        return opened(LocalTrainer, asked, self._halved)

    def _open_fsdp(self, asked: Opening) -> Trainer:
        from coevolve.engine.fsdp.leader import FsdpTrainers

        if self._fsdp is None:
            self._fsdp = FsdpTrainers(asked.settings.engine)
        return self._fsdp.open_trainer(asked)

    def _open_remote(self, asked: Opening) -> Trainer:
        from coevolve.engine.tinker.connection import connect
        from coevolve.engine.tinker.trainer import TinkerTrainer

        begin = None if asked.folder == self._base else asked.folder
        connection = connect(asked.settings, self._base)
        trainer = TinkerTrainer(connection, asked.section, begin, optimizer=asked.resume)
        if asked.reference is not None:
            trainer.set_reference(None if asked.reference == self._base else asked.reference)
        return trainer

    def _halved(self, tokens: int) -> None:
        """Later trainers of this process begin with what fitted into memory."""
        self._micro_batch_tokens = min(self._micro_batch_tokens, tokens)
        self._note(f"memory ran out: from now on micro-batches of {tokens} tokens (engine.micro_batch_tokens)")
