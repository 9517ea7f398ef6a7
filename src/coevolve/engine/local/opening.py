"""A trainer of this process, as it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from coevolve.engine.base import Opening
from coevolve.engine.local.trainer import LocalTrainer

T = TypeVar("T", bound=LocalTrainer)


def opened(kind: type[T], asked: Opening, on_halved: Callable[[int], None] | None = None) -> T:
    """The trainer that is asked for, in this process.

    Args:
        kind: its class.
        on_halved: told the new ``micro_batch_tokens`` after memory has run out.

    Raises:
        ConfigError: what it needs is not installed.
        EngineError: the folder holds no optimiser state, or the model is of a kind that cannot be trained.
        ModelError: a folder cannot be used.
    """
    engine, section = asked.settings.engine, asked.section
    lora = asked.settings.lora if asked.settings.lora.enabled else None
    trainer = kind(
        asked.base if lora else asked.folder,
        dtype=asked.settings.model.dtype,
        device=engine.device,
        drawn=asked.drawn,
        betas=(section.beta1, section.beta2),
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        micro_batch_tokens=asked.micro_batch_tokens,
        autocast=engine.autocast,
        optimizer=engine.optimizer,
        checkpointing=engine.checkpointing,
        lora=lora,
        seed=asked.settings.seed,
        on_halved=on_halved,
    )
    if lora and asked.folder != asked.base:
        trainer.load(asked.folder, optimizer=False)
    if asked.resume:
        trainer.load_optimizer(asked.folder)
    if asked.reference is not None:
        trainer.set_reference(None if asked.reference == asked.folder else asked.reference)
    return trainer
