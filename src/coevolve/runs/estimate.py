"""What a run will take of its device, before anything is loaded: memory by its parts, and time on a known card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coevolve.config import Config
from coevolve.engine.planning.budget import PROMPT_TOKENS, Numbers, fitting_micro_batch, memory_plan
from coevolve.engine.planning.devices import Card, Gpu, card_of, gpus
from coevolve.engine.planning.memory import MemoryPlan
from coevolve.engine.planning.shapes import ModelShape
from coevolve.engine.planning.speed import (
    AIMS,
    Shares,
    TrainingWork,
    prefill_seconds,
    sampling_seconds,
    training_seconds,
)
from coevolve.rollout.service import worker_count
from coevolve.runs.plan import PlannedPhase, planned, shape_of


@dataclass(frozen=True, slots=True)
class Fit:
    """The memory plan of a run, held against the device that was found.

    Args:
        gpu: the device; None without one, or on CPU.
        micro_batch: the largest ``engine.micro_batch_tokens`` that fits the device, 0 if none does; None without one.
    """

    memory: MemoryPlan
    gpu: Gpu | None
    micro_batch: int | None

    @property
    def fits(self) -> bool | None:
        """Whether the plan fits the device; None without one."""
        return None if self.gpu is None else self.memory.peak <= self.gpu.usable


def fit_of(config: Config, gpu: Gpu | None) -> Fit | None:
    """The plan against a GPU; None where the sizes of the base model are not known yet.

    Raises:
        ModelError: the base model's config.json cannot be read.
    """
    shape = shape_of(config)
    if shape is None:
        return None
    plan = memory_plan(shape, config, workers=worker_count(config.engine), capacity=gpu.usable if gpu else None)
    return Fit(plan, gpu, fitting_micro_batch(shape, config, gpu.usable) if gpu else None)


def fit_here(config: Config) -> Fit | None:
    """The same for the first GPU of this machine, if the run uses one."""
    found = gpus() if config.engine.device == "cuda" else []
    return fit_of(config, found[0] if found else None)


def sentence(fit: Fit) -> str:
    """One line for the start of a run: ``memory plan: 19.7 of 25.4 GB on ...``."""
    peak = f"{fit.memory.peak / 1e9:.1f}"
    if fit.gpu is None:
        return f"memory plan: {peak} GB"
    line = f"memory plan: {peak} of {fit.gpu.room}"
    if fit.fits:
        return f"{line}; micro-batches of up to {fit.micro_batch:,} tokens would fit"
    if fit.micro_batch:
        return f"{line}: too much; engine.micro_batch_tokens={fit.micro_batch} would fit"
    return f"{line}: too much for any micro-batch; smaller: engine.max_rows, sampling.max_tokens, or lora.enabled=true"


def forewords(config: Config) -> list[str]:
    """What a run says before it loads a model of one's own: its memory plan by parts, and the time on a known card.

    Raises:
        ModelError: the base model's config.json cannot be read.
    """
    fit = fit_here(config) if config.world == "open" or config.engine.device == "cuda" else None
    if fit is None:
        return []
    parts = ", ".join(f"{part.name} {part.bytes / 1e9:.1f}" for part in fit.memory.parts if part.bytes >= 5e7)
    out = [sentence(fit), f"its parts in GB: {parts}"]
    if card := card_here(fit):
        hours = sum(hours_on(config, card, planned(config)))
        out.append(f"about {hours:.1f} hours, an estimate (docs/memory.md)")
    return out


def hours_on(config: Config, card: Card, phases: Sequence[PlannedPhase], shares: Shares = AIMS) -> list[float]:
    """Hours of each phase on ``engine.gpus`` such cards; empty where the sizes of the base model are not known yet."""
    shape = shape_of(config)
    return [phase_seconds(config, shape, card, phase, shares) / 3600 for phase in phases] if shape else []


def card_here(fit: Fit | None) -> Card | None:
    """The peak numbers of the device, where it is one of the known cards."""
    return card_of(fit.gpu.name) if fit and fit.gpu else None


def phase_seconds(config: Config, shape: ModelShape, card: Card, phase: PlannedPhase, shares: Shares = AIMS) -> float:
    """Seconds of one phase on ``engine.gpus`` cards: prompts, decoding and training one after the other.

    Tools, grading and clustering run beside it or are small.
    """
    numbers = Numbers.of(config)
    prompt, texts = PROMPT_TOKENS[config.world], max(phase.trajectories, 1)
    rows = min(config.engine.max_rows, texts)
    answer = phase.tokens_sampled / texts
    work = TrainingWork(
        adapter=not numbers.trained.everything,
        checkpointing=config.engine.checkpointing,
        reference=numbers.reference,
    )
    seconds = prefill_seconds(shape, card, phase.prompts * prompt, shares.training)
    seconds += sampling_seconds(
        shape,
        card,
        phase.tokens_sampled,
        rows=rows,
        length=prompt + answer / 2,
        itemsize=numbers.weights,
        share=shares.sampling,
    )
    seconds += training_seconds(shape, card, phase.tokens_trained, prompt + answer, work, shares.training)
    return seconds / config.engine.gpus
