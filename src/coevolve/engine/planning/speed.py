"""How long sampling and training take at the least, from sizes and the peak numbers of a card: arithmetic.

P numbers in the matrices, w bytes of a weight, L layers, Q = heads x head dim, K = key-value heads x head dim.
"""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.engine.planning.devices import Card
from coevolve.engine.planning.shapes import MATRICES, ModelShape


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of a card's peak; the defaults are what `make bench-gpu` aims at, until it has measured.

    Args:
        sampling: of the memory's bandwidth, while decoding.
        training: of the peak of matrix products, while training and for prompts.
    """

    sampling: float = 0.5
    training: float = 0.45


AIMS = Shares()


def matrix_numbers(shape: ModelShape) -> int:
    """Numbers that every token is multiplied with: all matrices of the layers and the output matrix."""
    layer = sum(rows * columns for rows, columns in map(shape.matrix, MATRICES))
    return shape.layers * layer + shape.vocab * shape.hidden


def forward_flops(shape: ModelShape, length: float) -> float:
    """Operations of one token in a sequence of ``length``: 2 P + 4 L Q x length / 2 under a causal mask."""
    return 2 * matrix_numbers(shape) + 2 * shape.layers * shape.heads * shape.head_dim * length


@dataclass(frozen=True, slots=True)
class TrainingWork:
    """What one trained token costs, in forward passes of the model.

    Args:
        adapter: only LoRA matrices are trained: their gradients are small, those of the frozen matrices are left out.
        checkpointing: the forward pass is done again.
        reference: a KL term needs the forward pass of the reference.
    """

    adapter: bool
    checkpointing: bool
    reference: bool

    @property
    def useful(self) -> int:
        """Forward and backward pass: 3, with an adapter 2. What MFU counts."""
        return 2 if self.adapter else 3

    @property
    def passes(self) -> int:
        """All that is computed."""
        return self.useful + self.checkpointing + self.reference


def training_seconds(
    shape: ModelShape, card: Card, tokens: float, length: float, work: TrainingWork, share: float = AIMS.training
) -> float:
    """tokens x passes x forward_flops / (share x peak)."""
    return tokens * work.passes * forward_flops(shape, length) / (share * card.tflops * 1e12)


def prefill_seconds(shape: ModelShape, card: Card, tokens: float, share: float = AIMS.training) -> float:
    """Known tokens, one forward pass over many at once: tokens x 2 P / (share x peak)."""
    return tokens * 2 * matrix_numbers(shape) / (share * card.tflops * 1e12)


def mfu(shape: ModelShape, card: Card, tokens: float, length: float, work: TrainingWork, seconds: float) -> float:
    """Model FLOPs utilisation: useful operations per second as a share of the peak; work done twice counts once."""
    return tokens * work.useful * forward_flops(shape, length) / (seconds * card.tflops * 1e12)


def step_bytes(shape: ModelShape, rows: float, length: float, itemsize: int) -> float:
    """What one decoding step must read, all matrices and the past of every row: w (P + rows x length x 2 L K)."""
    return itemsize * (matrix_numbers(shape) + rows * length * shape.cache_numbers())


def sampling_seconds(
    shape: ModelShape,
    card: Card,
    tokens: float,
    *,
    rows: float,
    length: float,
    itemsize: int,
    share: float = AIMS.sampling,
) -> float:
    """Decoding ``tokens`` tokens, ``rows`` at once: the slower of reading and computing, per step.

    tokens / rows x max(step_bytes / (share x bandwidth), rows x forward_flops / peak)

    Args:
        length: tokens that a row can look back on, on average.
    """
    reading = step_bytes(shape, rows, length, itemsize) / (share * card.bandwidth * 1e9)
    computing = rows * forward_flops(shape, length) / (card.tflops * 1e12)
    return tokens / rows * max(reading, computing)
