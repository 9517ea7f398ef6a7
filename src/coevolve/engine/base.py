"""What an engine is: a sampler and a trainer, both blind to the method that uses them. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from coevolve.errors import EngineError
from coevolve.types import Batch, Floats, Ints, TrainRow, TrainStats

ADAPTER_FILE, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"  # of an adapter's folder, as in peft


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. ``temperature`` 0 means greedy (log-probabilities are then those at temperature 1)."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 200  # of the whole sequence after its first prompt, appended tokens included
    stop: tuple[str, ...] = ()  # decoding pauses when one of these strings is complete


@dataclass(frozen=True, slots=True)
class PolicyWeights:
    """A frozen policy: a name and version for the record, and its weights by parameter name.

    With ``adapter`` they are LoRA matrices on the base model, under the names that peft writes to a file; none at all
    is the base model itself. Without it they are those of the whole model.
    """

    name: str
    version: int
    weights: Mapping[str, Floats]
    adapter: bool = False


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

    def load_weights(self, policy: PolicyWeights) -> None:
        """Go on as another policy; no sequence may be alive."""

    def submit(self, request: SampleRequest) -> None: ...

    def extend(self, id: int, tokens: Ints) -> None:
        """Append tokens that the policy did not sample (an observation; none to write on) and go on decoding."""

    def release(self, id: int) -> None:
        """Forget a paused sequence. EOS and LENGTH release by themselves."""

    def step(self) -> list[Completion]:
        """Decode one token for every active sequence and return those that paused, in order of their ids."""

    @property
    def active(self) -> int:
        """Sequences that the next step would advance, waiting ones included."""

    def rest(self) -> None:
        """Give back what memory can be had again, until the next weights or sequence; no sequence may be alive."""

    def close(self) -> None:
        """End for good; sequences that are alive are given up."""


class Trainer(Protocol):
    """Weights, optimiser and reference of one policy."""

    micro_batch_tokens: int  # of one forward and backward pass; becomes smaller when memory runs out
    adapter: bool  # whether ``state_dict_numpy`` holds LoRA matrices only, as in ``PolicyWeights``

    def forward_backward(self, batch: Batch) -> TrainStats:
        """Accumulate the gradient of sum(weight * (clipped loss + kl * k3)) over the batch."""

    def step(self, lr: float, limit: float = math.inf) -> float:
        """Clip, update, zero the gradient; returns the gradient norm before clipping.

        A norm that is not finite or is above ``limit`` leaves weights and optimiser as they are, to the last bit.
        """

    def discard(self) -> None:
        """Zero the gradient without an update."""

    def logprobs(self, rows: Sequence[TrainRow]) -> list[Floats]:
        """Log-probabilities [L] of each row's tokens at the training temperature; index 0 is 0."""

    def set_reference(self) -> None:
        """Make the present weights the reference of the KL term."""

    def state_dict_numpy(self) -> dict[str, Floats]:
        """The weights, for a sampler in another process."""

    def save(self, folder: Path, *, optimizer: bool) -> None: ...

    def save_state(self, file: Path) -> None:
        """Write weights and optimiser into one file, exactly; the reference is not in it."""

    def load_state(self, file: Path) -> None:
        """Go on exactly where ``save_state`` was called."""
