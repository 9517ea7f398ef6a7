"""Which sampler and device a configuration asks for."""

from __future__ import annotations

from pathlib import Path

from coevolve.config import Config
from coevolve.engine.base import Sampler
from coevolve.engine.planning.devices import require_device
from coevolve.errors import ConfigError


def require_engine(config: Config) -> None:
    """Refuse a machine that lacks what the engine needs, before anything begins.

    Raises:
        ConfigError: there is no such device or more than one is asked for, or a package is missing or another version.
    """
    if config.engine.gpus > 1:
        raise ConfigError(
            f"this run is laid out for {config.engine.gpus} GPUs, and this version of coevolve runs on one",
            where=f"engine.gpus={config.engine.gpus} (preset {config.preset})",
            fix="--dry-run shows its plan; on one GPU: --preset qwen3-4b-1gpu, or engine.gpus=1 with smaller numbers",
        )
    require_device(config.engine.device)
    if config.engine.sampler == "vllm":
        from coevolve.engine.vllm.launch import require_vllm

        require_vllm()
    if config.lora.enabled:
        from coevolve.engine.local.lora import require_peft

        require_peft()
    if config.engine.optimizer == "adamw-8bit":
        from coevolve.engine.local.optimizers import require_8bit

        require_8bit()


def open_sampler(config: Config, model_path: Path) -> Sampler:
    """The sampler of ``engine.sampler`` over a model folder.

    Raises:
        ConfigError: what it needs is not installed.
        ModelError: the folder is damaged.
        EngineError: the engine does not start.
    """
    if config.engine.sampler == "vllm":
        from coevolve.engine.vllm.sampler import VllmSampler

        return VllmSampler(config, model_path)
    from coevolve.engine.local.sampler import LocalSampler

    return LocalSampler(
        model_path,
        max_rows=config.engine.max_rows,
        dtype=config.model.dtype,
        device=config.engine.device,
        lora=config.lora if config.lora.enabled else None,
    )
