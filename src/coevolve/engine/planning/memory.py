"""What a run takes of its device's memory, from sizes alone: arithmetic, nothing is loaded.

Every function says its formula. H hidden size, Q = heads x head dim, K = key-value heads x head dim, I intermediate
size, V vocabulary, L layers; w bytes of a weight, c bytes of a number in matrix products (2 under autocast).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coevolve.engine.local.portions import CACHED, GROWTH, LOGITS, ONEDNN, PORTION, length_bucket, row_bucket
from coevolve.engine.planning.shapes import ATTENTION, MATRICES, MLP, ModelShape

When = Literal["always", "training", "sampling"]
FP32 = 4  # bytes
CONTEXT = 700_000_000  # bytes of the CUDA context and its libraries' workspaces: an allowance
PROCESS = 470_000_000  # bytes of Python, torch, transformers and pyarrow in the main process: measured
WORKER = 330_000_000  # and in a rollout process, with its sandbox; pages of files are counted in the main one
WORD = 550  # bytes of a tokenizer for every entry of its vocabulary: measured
FRAGMENTS = 0.05  # of everything else, lost between blocks of the allocator: an allowance


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that one thing takes, and when it is there."""

    name: str
    bytes: int
    when: When


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """All parts of one process's memory on one device."""

    parts: tuple[Part, ...]

    def during(self, when: When) -> int:
        """Bytes in a phase: what is always there and what the phase adds."""
        return sum(part.bytes for part in self.parts if part.when in ("always", when))

    @property
    def peak(self) -> int:
        """Bytes at the fullest moment; training and sampling take turns."""
        return max(self.during("training"), self.during("sampling"))


@dataclass(frozen=True, slots=True)
class Precision:
    """Bytes of one number.

    Args:
        weights: of the model (w).
        compute: in matrix products (c): less than ``weights`` under autocast.
        cuda: on a GPU.
    """

    weights: int
    compute: int
    cuda: bool = False

    @property
    def casts(self) -> bool:
        """Whether matrix products see copies of the weights in a smaller type."""
        return self.compute < self.weights

    @property
    def written_out(self) -> bool:
        """Whether training runs through ``engine.local.layers`` instead of transformers' modules."""
        return not self.cuda and self.weights == self.compute == FP32


@dataclass(frozen=True, slots=True)
class TrainedPart:
    """Which numbers are trained: all of them (rank 0), or LoRA matrices beside ``targets``."""

    rank: int = 0
    targets: tuple[str, ...] = MATRICES

    @property
    def everything(self) -> bool:
        """Full fine-tuning."""
        return self.rank == 0

    def keeps_input(self, name: str) -> int:
        """1 if the input of this matrix is kept for a gradient, else 0."""
        return int(self.everything or name in self.targets)


def trained_numbers(shape: ModelShape, trained: TrainedPart) -> int:
    """How many numbers are trained: all, or rank x (inputs + outputs) of every target in every layer."""
    return shape.parameters if trained.everything else shape.adapter_parameters(trained.rank, trained.targets)


def optimizer_bytes(numbers: int, itemsize: int, *, eight_bit: bool) -> int:
    """Two moments: 2 x itemsize per number; in 8 bits 2 bytes and two fp32 scales for every 256 numbers."""
    return numbers * 2 + numbers * 8 // 256 if eight_bit else numbers * 2 * itemsize


def layer_bytes(shape: ModelShape, precision: Precision, trained: TrainedPart, padding: float = 1.0) -> int:
    """Bytes that autograd keeps of one layer for one token.

    ::

        two norms      2 (4 H + 4): the input in fp32, the root; w H more where the norm is trained
        their outputs  c H for every matrix that sees them and keeps its input; without casts they share one copy
        head norms     4 (Q + K + heads + kv heads); c (Q + K) more where trained (Qwen3 only)
        attention      padding x (c (2 Q + 2 K) + 4 heads): queries, keys, values, output, log-sums
        o_proj         c Q where it keeps its input
        MLP            3 c I: gate, its SiLU, up; c I more where down_proj keeps its input
        adapters       c x rank for every target

    Where the layers are written out it is, whatever is trained::

        w (2 H + 2)          the inputs of both halves and the roots of their norms
        w (2 Q + 2 K + heads)  queries, keys, values, output, log-sums; Q + K more with norms of heads (Qwen3 only)
        w 2 I                gate, up

    Args:
        padding: places in the blocks of attention per token.
    """
    w, c = precision.weights, precision.compute
    q, k = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    if precision.written_out:
        turned = (q + k) if shape.head_norms else 0
        return w * (2 * shape.hidden + 2 + 2 * q + 2 * k + shape.heads + turned + 2 * shape.intermediate)
    every = int(trained.everything)
    norms = 2 * (FP32 * shape.hidden + FP32 + every * w * shape.hidden)
    seen = [sum(map(trained.keeps_input, names)) for names in (ATTENTION[:3], MLP[:2])]
    outputs = sum(n if precision.casts else min(n, 1) for n in seen) * c * shape.hidden
    heads = (FP32 * (q + k + shape.heads + shape.kv_heads) + every * c * (q + k)) if shape.head_norms else 0
    attention = round(padding * (c * (2 * q + 2 * k) + FP32 * shape.heads))
    projection = trained.keeps_input("o_proj") * c * q
    mlp = (3 + trained.keeps_input("down_proj")) * c * shape.intermediate
    return norms + outputs + heads + attention + projection + mlp + c * trained.rank * len(trained.targets)


def activation_bytes(
    shape: ModelShape,
    tokens: int,
    precision: Precision,
    trained: TrainedPart,
    *,
    checkpointing: bool,
    padding: float = 1.0,
) -> int:
    """Bytes that the forward pass of a micro-batch leaves for its backward pass.

    ::

        tokens x (layers + last norm + 2 c H: selected states and their gradient + 2 c head dim: rotations)
        layers      L x layer_bytes, with checkpointing the inputs alone: L x w H
        last norm   4 H, w H more where it is trained; where the layers are written out w H
    """
    w, c, h = precision.weights, precision.compute, shape.hidden
    layers = shape.layers * (w * h if checkpointing else layer_bytes(shape, precision, trained, padding))
    norm = w * h if precision.written_out else FP32 * h + int(trained.everything) * w * h
    ends = norm + 2 * c * h + 2 * c * shape.head_dim
    return tokens * (layers + ends)


def passing_bytes(
    shape: ModelShape,
    tokens: int,
    precision: Precision,
    trained: TrainedPart,
    *,
    checkpointing: bool,
    padding: float = 1.0,
    logits: int = LOGITS,
) -> int:
    """What training a micro-batch needs for a moment, beyond the activations: the largest of three.

    ::

        a chunk of logits      see logits_bytes
        a layer backwards      tokens x c (I + 3 H), I more where down_proj keeps no input; or tokens x (18 + c) H in
                               the last norm; with checkpointing layer_bytes and its casts more instead of the latter
        the end of the forward pass, with checkpointing: the casts of all layers
        without checkpointing the casts of all layers last through all of it

    Where the layers are written out, a layer backwards is the larger of::

        its attention   tokens x w (3 Q + 2 K + H)
        its MLP         tokens x w H, its matrices with what is added to them (3 w I H, twice where they are trained),
                        and w (4 I + 2 H) for each token of a portion, I and H more where down, gate or up keep inputs
    """
    c, h = precision.compute, shape.hidden
    if precision.written_out:
        q, k, i = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim, shape.intermediate
        matrices = (1 + int(trained.everything)) * 3 * i * h
        kept = trained.keeps_input("down_proj") * i + max(map(trained.keeps_input, MLP)) * h
        mlp = tokens * h + matrices + min(tokens, PORTION) * (4 * i + 2 * h + kept)
        layer = c * max(tokens * (3 * q + 2 * k + h), mlp)
        if checkpointing:
            layer += tokens * layer_bytes(shape, precision, trained)
        return max(logits_bytes(shape, tokens, precision, limit=logits), layer)
    casts = cast_bytes(shape, precision, trained)
    layer = c * ((2 - trained.keeps_input("down_proj")) * shape.intermediate + 3 * h)
    head = logits_bytes(shape, tokens, precision, limit=logits)
    if not checkpointing:
        return casts + max(head, tokens * layer, tokens * (18 + c) * h)
    layer += layer_bytes(shape, precision, trained, padding)
    return max(head, tokens * layer + casts // shape.layers, casts)


def cast_bytes(shape: ModelShape, precision: Precision, trained: TrainedPart) -> int:
    """Copies of trained matrices for autocast: c for every number of the layers' matrices, or of the adapters."""
    if not trained.everything:
        return precision.compute * trained_numbers(shape, trained) if precision.compute < FP32 else 0
    numbers = sum(rows * columns for rows, columns in map(shape.matrix, MATRICES))
    return precision.compute * numbers * shape.layers if precision.casts else 0


def logits_bytes(shape: ModelShape, tokens: int, precision: Precision, *, limit: int = LOGITS) -> int:
    """A chunk of logits on its way to log-probabilities, and the output matrix in the smaller type.

    chunk x V x (c + 4 [as fp32 where c < 4]), which become probabilities and gradients in place; on a GPU 4 more, on a
    CPU for some rows at a time
    """
    chunk = min(tokens, max(1, limit // shape.vocab))
    widened = FP32 if precision.compute < FP32 else 0
    head = precision.compute * shape.vocab * shape.hidden if precision.casts else 0
    at_once = chunk * shape.vocab if precision.cuda else min(chunk * shape.vocab, CACHED)
    return chunk * shape.vocab * (precision.compute + widened) + FP32 * at_once + head


def beside_bytes(shape: ModelShape, workers: int) -> int:
    """What processes have beside tensors: the interpreter with its libraries, and a tokenizer each."""
    others = workers if workers > 1 else 0
    return PROCESS + WORKER * others + WORD * shape.vocab * (1 + others)


def copied_bytes(shape: ModelShape, itemsize: int) -> int:
    """Copies that the local sampler makes on CPU of queries, keys and values as one matrix: w L (Q + 2 K) H.

    In float32 it copies the other large matrices as well: 4 L (H Q + 3 H I) and 4 V H.
    """
    numbers = {name: rows * columns for name, (rows, columns) in ((name, shape.matrix(name)) for name in MATRICES)}
    copied = shape.layers * sum(numbers[name] for name in ATTENTION[:3])
    if itemsize == FP32:
        others = [numbers["o_proj"], numbers["gate_proj"] + numbers["up_proj"], numbers["down_proj"]]
        copied += shape.layers * sum(n for n in others if n >= ONEDNN)
        copied += shape.vocab * shape.hidden if shape.vocab * shape.hidden >= ONEDNN else 0
    return itemsize * copied


def merged_bytes(shape: ModelShape, itemsize: int) -> int:
    """The same, and all matrices of its layers, to which it adds an adapter; the rest stays in the model's files."""
    numbers = sum(rows * columns for rows, columns in map(shape.matrix, MATRICES))
    return itemsize * shape.layers * numbers + copied_bytes(shape, itemsize)


def cache_bytes(shape: ModelShape, rows: int, tokens: int, itemsize: int) -> int:
    """Keys and values of ``rows`` sequences of up to ``tokens`` tokens: 2 L K x rows x tokens x itemsize."""
    return shape.cache_numbers() * rows * tokens * itemsize


def static_cache_bytes(shape: ModelShape, rows: int, tokens: int, itemsize: int) -> int:
    """The same where it is laid out once, as the local sampler does on CUDA: rows and positions are rounded up."""
    return cache_bytes(shape, row_bucket(rows), length_bucket(tokens + 1), itemsize)


def growing_cache_bytes(shape: ModelShape, rows: int, first: int, tokens: int, itemsize: int) -> int:
    """The same where the cache grows with its longest sequence, as that of the local sampler does on CPU.

    It grows by a quarter at least, in multiples of a few positions.

    Args:
        first, tokens: length of the longest sequence at its start and at its end, behind a prefix that rows share.
    """
    capacity = 0
    for length in range(min(first, tokens), tokens + 1):
        if length > capacity:
            capacity = -(-max(length, capacity + capacity // 4) // GROWTH) * GROWTH
    return cache_bytes(shape, rows, capacity, itemsize)


def prefill_bytes(shape: ModelShape, tokens: int, itemsize: int) -> int:
    """Known tokens on their way through a layer: tokens x (3 I + 4 H + 2 head dim) x itemsize, without scores."""
    return tokens * itemsize * (3 * shape.intermediate + 4 * shape.hidden + 2 * shape.head_dim)


def drawing_bytes(shape: ModelShape, rows: int, itemsize: int) -> int:
    """Logits of one step on their way to tokens: rows x V x (itemsize + 4 for what each token weighs)."""
    return rows * shape.vocab * (itemsize + FP32)
