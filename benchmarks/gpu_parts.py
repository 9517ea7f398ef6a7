"""The parts of gpu.py that use the device: the check before everything, a trainer's steps, a sampler's texts."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coevolve.config import Config
from coevolve.engine.base import Completion, SampleRequest, Sampling
from coevolve.engine.local.decoding import StaticPasses
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.engine.planning.budget import memory_plan
from coevolve.engine.planning.memory import MemoryPlan, When
from coevolve.engine.planning.shapes import MATRICES, ModelShape
from coevolve.runs.plan import workload
from coevolve.types import Batch, Floats, Ints, TrainRow
from coevolve.worlds.open.stand_in.build import StandIn

_PROMPTS = [np.arange(5, 5 + length, dtype=np.int32) for length in (3, 40, 17)]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Card:
    """Peak numbers of a graphics card: 10^12 operations per second of dense bfloat16, 10^9 bytes per second."""

    tflops: float
    bandwidth: float


# By the name that torch gives the card. Source: NVIDIA's data sheets.
CARDS = {
    "NVIDIA H200": Card(989, 4800),
    "NVIDIA H100 80GB HBM3": Card(989, 3350),
    "NVIDIA A100-SXM4-80GB": Card(312, 2039),
    "NVIDIA GeForce RTX 4090": Card(165, 1008),
}


def matrix_numbers(shape: ModelShape) -> int:
    """Numbers that every token is multiplied with: all matrices of the layers and the output matrix."""
    layer = sum(rows * columns for rows, columns in map(shape.matrix, MATRICES))
    return shape.layers * layer + shape.vocab * shape.hidden


def forward_flops(shape: ModelShape, length: float) -> float:
    """Operations of one token in a sequence of ``length``: 2 P + 4 L Q x length / 2 under a causal mask."""
    return 2 * matrix_numbers(shape) + 2 * shape.layers * shape.heads * shape.head_dim * length


def training_flops(shape: ModelShape, length: float, *, adapter: bool) -> float:
    """Useful operations per trained token: forward and backward pass, 3 forward passes, with an adapter 2."""
    return (2 if adapter else 3) * forward_flops(shape, length)


def step_bytes(shape: ModelShape, rows: float, length: float, itemsize: int) -> float:
    """What one decoding step must read, all matrices and the past of every row: w (P + rows x length x 2 L K)."""
    return itemsize * (matrix_numbers(shape) + rows * length * shape.cache_numbers())


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done."""

    model: StandIn
    rows: int  # of training
    length: int
    steps: int
    texts: int  # of sampling
    tokens: int
    run: str  # overrides of the iteration


@dataclass(frozen=True, slots=True)
class Bench:
    """The model and the device."""

    folder: Path
    shape: ModelShape
    config: Config  # of the iteration; the trainings differ from it as they say
    card: Card | None
    memory: int  # bytes of the device, 0 on CPU
    sizes: Sizes

    @property
    def device(self) -> str:
        return self.config.engine.device

    def timed(self, work: Callable[[], None]) -> tuple[float, int]:
        """Seconds, and the most bytes that were handed out meanwhile (0 on CPU)."""
        if self.device == "cpu":
            begin = time.perf_counter()
            work()
            return time.perf_counter() - begin, 0
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - begin, torch.cuda.max_memory_allocated()


def clear() -> None:
    """Leave nothing of the last part on the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def handed_out(plan: MemoryPlan, when: When, *, without: tuple[str, ...] = ()) -> int:
    """What the plan expects torch's allocator to hand out: everything but its own losses and CUDA itself."""
    apart = {"CUDA itself", "lost between blocks", *without}
    return sum(part.bytes for part in plan.parts if part.when in ("always", when) and part.name not in apart)


def check(folder: Path, device: str, tokens: int) -> Row:
    """Whether the sampler's two ways agree, and the trainer with them.

    Raises:
        SystemExit: they do not; no speed of theirs would mean anything.
    """
    ways = [LocalSampler(folder, max_rows=6, device=device, static=static) for static in (True, device != "cpu")]
    if isinstance(ways[1]._passes, StaticPasses):
        ways[1]._passes._graphs = False
    told = [_texts(sampler, tokens) for sampler in ways]
    texts = [[c.tokens.tolist() for c in completions] for completions in told]
    numbers = [np.concatenate([c.logprobs for c in completions]) for completions in told]
    rows = [plain_row(_PROMPTS[c.id % 3], c.tokens, c.logprobs) for c in told[0]]
    trainer = LocalTrainer(folder, device=device)
    theirs = trainer.logprobs(rows)
    apart = [t[len(r.tokens) - len(c.tokens) :] - c.logprobs for t, r, c in zip(theirs, rows, told[0], strict=True)]
    gap = float(np.abs(np.concatenate(apart)).max())
    if texts[0] != texts[1] or not np.allclose(*numbers, atol=1e-4) or gap > 1e-3:
        raise SystemExit(f"sampler and trainer do not agree on {device}: log-probabilities differ by {gap:.2g}")
    return {"part": "check", "what": f"{len(rows)} texts", "gap": gap, "tokens": sum(map(len, texts[0]))}


def _texts(sampler: LocalSampler, tokens: int) -> list[Completion]:
    """Texts of several lengths, more of them than rows."""
    sampler._eos = np.zeros(0, np.int64)  # none ends early
    for i in range(12):
        sampler.submit(SampleRequest(i, _PROMPTS[i % 3], Sampling(max_tokens=tokens + 7 * i), seed=i))
    out: list[Completion] = []
    while sampler.active:
        out += sampler.step()
    return sorted(out, key=lambda c: c.id)


def plain_row(prompt: Ints, tokens: Ints, logprobs: Floats) -> TrainRow:
    """A row that says only which tokens there are."""
    whole = np.concatenate([prompt, tokens])
    zeros = np.zeros(len(whole), np.float32)
    old = np.concatenate([np.zeros(len(prompt), np.float32), logprobs])
    return TrainRow(whole, old, zeros, zeros, zeros, zeros, old)


def training(bench: Bench, name: str, config: Config) -> Row:
    """Tokens per second, MFU and memory of optimiser steps over one batch."""
    clear()
    plan = handed_out(memory_plan(bench.shape, workload(config)), "training", without=("sampler's model",))
    row: Row = {"part": "training", "what": name, "planned_bytes": plan}
    if bench.memory and plan > bench.memory:
        return row | {"note": f"needs {plan / 1e9:.0f} GB, the card has {bench.memory / 1e9:.0f}"}
    engine = config.engine
    trainer = LocalTrainer(
        bench.folder,
        dtype=config.model.dtype,
        device=bench.device,
        micro_batch_tokens=engine.micro_batch_tokens,
        checkpointing=engine.checkpointing,
        optimizer=engine.optimizer,
        lora=config.lora if config.lora.enabled else None,
    )
    batch = batch_of(bench)

    def step() -> None:
        trainer.forward_backward(batch)
        trainer.step(1e-6)

    step()  # moments, kernels

    def steps() -> None:
        for _ in range(bench.sizes.steps):
            step()

    seconds, peak = bench.timed(steps)
    tokens = bench.sizes.rows * bench.sizes.length * bench.sizes.steps
    row |= {
        "tokens_per_s": tokens / seconds,
        "peak_bytes": peak or None,
        "micro_batch_tokens": trainer.micro_batch_tokens,
    }
    if bench.card:
        useful = tokens * training_flops(bench.shape, bench.sizes.length, adapter=config.lora.enabled)
        row["mfu"] = useful / (seconds * bench.card.tflops * 1e12)
    return row


def batch_of(bench: Bench) -> Batch:
    """Rows of random tokens that share nothing; all but the first teach."""
    rng, length = np.random.default_rng(0), bench.sizes.length
    stream = np.ones(length + 1, np.float32)
    weight = np.full(length + 1, 1 / (length * bench.sizes.rows), np.float32)
    weight[0] = 0
    rows = [
        TrainRow(
            rng.integers(0, 1000, length + 1).astype(np.int32),
            *(-8 * stream, stream, stream / 5, stream / 5, weight, -8 * stream),
        )
        for _ in range(bench.sizes.rows)
    ]
    return Batch(tuple(rows))


def sampling(bench: Bench, name: str, config: Config) -> Row:
    """Tokens per second of texts that all have the same length, and the time that reading alone would take."""
    clear()
    sizes = bench.sizes
    sampler = LocalSampler(
        bench.folder,
        max_rows=sizes.texts,
        dtype=config.model.dtype,
        device=bench.device,
        lora=config.lora if config.lora.enabled else None,
        static=True,
    )
    sampler._eos = np.zeros(0, np.int64)  # nothing ends early
    recording = [0, 0.0]
    if isinstance(sampler._passes, StaticPasses):
        _count(sampler._passes, recording)
    prompts = np.random.default_rng(0).integers(0, 1000, (sizes.texts, 16)).astype(np.int32)

    def write(tokens: int) -> None:
        for i, prompt in enumerate(prompts):
            sampler.submit(SampleRequest(i, prompt, Sampling(max_tokens=tokens), seed=i))
        while sampler.active:
            sampler.step()

    write(2)  # libraries choose their kernels
    recording[:] = [0, 0.0]
    seconds, peak = bench.timed(lambda: write(sizes.tokens))
    row: Row = {
        "part": "sampling",
        "what": name,
        "tokens_per_s": sizes.texts * sizes.tokens / seconds,
        "peak_bytes": peak or None,
        "graphs": recording[0],
        "recording_s": recording[1],
    }
    if bench.card:
        size = 2 if config.model.dtype == "bfloat16" else 4
        read = sum(step_bytes(bench.shape, sizes.texts, 16 + t, size) for t in range(sizes.tokens))
        row["share"] = read / (bench.card.bandwidth * 1e9) / seconds
    return row


def _count(passes: StaticPasses, recording: list[Any]) -> None:
    """Let the passes tell how many steps they have recorded, and how long that took."""
    record = passes._recorded

    def counted(compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        begin = time.perf_counter()
        replay = record(compute)
        recording[0] += 1
        recording[1] += time.perf_counter() - begin
        return replay

    passes._recorded = counted  # type: ignore[method-assign]
