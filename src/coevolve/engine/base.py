"""What an engine is: a sampler and a trainer, both blind to the method that uses them. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from coevolve.config import OptimizerSection
from coevolve.config.acting import Distribution
from coevolve.config.resources import EngineSettings
from coevolve.errors import EngineError
from coevolve.types import Ban, Batch, Floats, Ints, TrainRow, TrainStats

ADAPTER_FILE, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"  # of an adapter's folder, as in peft


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. ``temperature`` 0 means greedy (log-probabilities are then those at temperature 1).

    ``top_p`` and ``top_k`` leave out tokens; log-probabilities are those of the tokens that are left.
    """

    temperature: float = 1.0
    top_p: float = 1.0  # of the tokens that top_k leaves
    top_k: int = 0  # 0: all
    max_tokens: int = 200  # of the whole sequence after its first prompt, appended tokens included
    stop: tuple[str, ...] = ()  # decoding pauses when one of these strings is complete
    # Tokens that are left out before all else. Not shown: what there was before keeps its name in a run's journal.
    banned: Ban | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Arrays:
    """Weights in memory by parameter name.

    With ``adapter`` they are LoRA matrices on the base model, under the names that peft writes to a file; none at all
    is the base model itself. Without it they are those of the whole model; tied weights appear under each name.
    """

    weights: Mapping[str, Floats]
    adapter: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """Weights on the disk: a Hugging Face model, or with ``adapter`` a LoRA adapter as peft writes it."""

    path: Path
    adapter: bool = False


@dataclass(frozen=True, slots=True)
class Handle:
    """Weights that a server holds, by the name that it gave them. Only a sampler of that server can load them."""

    name: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The weights of a policy at one version; name and version are for the record."""

    name: str
    version: int
    source: Arrays | Folder | Handle


class Pause(StrEnum):
    """Why the sampler gave a sequence back."""

    STOP = "stop"  # a stop string is complete
    EOS = "eos"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """A new sequence. ``id`` is unique among the living sequences; ``seed`` alone decides its random numbers."""

    id: int
    prompt: Ints  # [P]
    sampling: Sampling
    seed: int


@dataclass(frozen=True, slots=True)
class Completion:
    """Tokens sampled since the sequence was submitted or extended."""

    id: int
    tokens: Ints  # [T]
    logprobs: Floats  # [T] under the sampling distribution
    pause: Pause


class MemoryShortage(EngineError):
    """A sampler had too little memory. It has forgotten its sequences and takes fewer at once: ask it again for all."""


class Sampler(Protocol):
    """Continuous batching, one decoding step at a time, token ids in and out.

    A sequence paused by a stop string keeps its cache until it is extended or released, so a trajectory never pays
    twice for its past. Sequences with the same prompt share its prefill. The results of equal seeds are equal on CPU as
    long as submissions, extensions and releases come at the same steps.
    """

    policy_version: int

    @property
    def eos(self) -> frozenset[int]:
        """Token ids that end a sequence."""

    def load_weights(self, snapshot: Snapshot) -> None:
        """Decode with other weights from now on; no sequence may be alive.

        Raises:
            EngineError: sequences are alive, the weights do not fit the model, or they are of a source that this
                sampler cannot load.
            ModelError: a folder holds no weights.
        """

    def submit(self, request: SampleRequest) -> None: ...

    def extend(self, id: int, tokens: Ints) -> None:
        """Append tokens that the policy did not sample (an observation; none to write on) and go on decoding."""

    def release(self, id: int) -> None:
        """Forget a sequence, paused or not. EOS and LENGTH release by themselves."""

    def step(self) -> list[Completion]:
        """Decode one token for every active sequence and return those that paused, in order of their ids."""

    @property
    def active(self) -> int:
        """Sequences that the next step would advance, waiting ones included."""

    def release_memory(self) -> None:
        """Free the memory that is not needed until the next weights or sequence; no sequence may be alive."""

    def close(self) -> None:
        """End for good; sequences that are alive are given up."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What is asked of a new trainer on the weights of a folder: a model, or with LoRA an adapter or the base model."""

    settings: EngineSettings
    base: Path  # of all agents
    folder: Path  # the weights to begin with
    section: OptimizerSection
    drawn: Distribution  # what the tokens are drawn from that it is trained on
    resume: bool  # take the optimiser's state from the folder too
    reference: Path | None  # folder of the KL term's policy; None where there is no such term
    micro_batch_tokens: int


class Trainer(Protocol):
    """Weights, optimiser and reference of one policy. The reference is part of opening a trainer, see the factory."""

    micro_batch_tokens: int  # of one forward and backward pass; becomes smaller when memory runs out

    def forward_backward(self, batch: Batch) -> TrainStats:
        """Accumulate the gradient of sum(weight * (loss + kl * KL term)) over the batch; see ``Batch`` for the loss."""

    def step(self, lr: float, limit: float = math.inf) -> float:
        """Clip, update, zero the gradient; returns the gradient norm before clipping.

        A norm that is not finite or is above ``limit`` leaves weights and optimiser as they are, to the last bit.
        """

    def discard(self) -> None:
        """Zero the gradient without an update."""

    def logprobs(self, rows: Sequence[TrainRow], banned: Ban | None = None) -> list[Floats]:
        """Log-probabilities [L] of each row's tokens as the policy draws them; index 0 is 0.

        That is at its temperature, and among the tokens that its top-p and top-k leave.

        Args:
            rows: what was written.
            banned: tokens that could not be drawn then.
        """

    def snapshot(self, name: str, version: int) -> Snapshot:
        """The present weights, for a sampler; later steps do not change them."""

    def save(self, folder: Path, *, optimizer: bool) -> None:
        """Write the weights as a folder that transformers or peft reads, and the optimiser's state if asked."""

    def load(self, folder: Path, *, optimizer: bool) -> None:
        """Go on with the weights of ``save``, and exactly where it was called if the optimiser's state is restored."""
