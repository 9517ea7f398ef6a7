"""The vocabulary of coevolve on one page: what flows through every method, engine and report.

Frozen dataclasses, numpy arrays, no torch. Everything here can be pickled to a worker and written to a run folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

KLGradient = Literal["k3", "k2", "corrected"]  # see coevolve.learning.objectives.kl_term
# What a batch is trained on: the clipped policy gradient, the weighted log-likelihood, or preferences between its rows.
Objective = Literal["clipped", "likelihood", "preference"]

# Ids of the agents that most methods have; what a method calls them on screen is in its AgentSpec.
PROPOSER, SOLVER = "proposer", "solver"
GENERATOR = "generator"  # writes problems from failures; its texts stand in a proposer's place


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """A policy of a run: one model that a method trains or keeps as it is. What follows ``trained`` is for its card."""

    id: str  # in code, configuration keys and checkpoints
    label: str  # on screen, in docs and cards, e.g. "executor"
    trained: bool
    does: str = "takes part in the training."  # goes on after its label, and says what its labels were
    usage: str = ""  # what to know of its texts
    limits: tuple[str, ...] = ()


class StopReason(StrEnum):
    """Why a trajectory ended. Only ``EOS`` can carry an answer; all others are "no answer" in a vote."""

    EOS = "eos"  # the model ended its turn by itself
    LENGTH = "length"  # the token budget of the trajectory was used up
    TURNS = "turns"  # one tool call more than the contract allows
    PROTOCOL = "protocol"  # the model opened an output fence without a code block before it: a forged observation
    INFRASTRUCTURE = "infrastructure"  # the sandbox was lost; never rewarded, always counted


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a task comes from."""

    method: str
    agent: str
    iteration: int
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A question for the solver. It never carries its true answer: only a meter knows that."""

    id: str
    turns: tuple[str, ...]  # user turns; one for a plain question
    kind: str  # the family of tasks, e.g. "chain"
    origin: Origin
    proposed_answer: str | None = None  # what the proposer boxed itself; a logged signal, not a label
    written: str | None = None  # the whole text, where the turns show a part of it: of a dialogue, of a program's task
    measuring_only: bool = False  # from a suite: nothing that learns may take it

    @property
    def question(self) -> str:
        """What was asked, as it was written: the user turn, or the text of all of them."""
        return self.turns[0] if self.written is None else self.written


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One executed code block and what the model was shown for it."""

    code: str
    observation: str
    status: str  # coevolve.sandbox.Status value, decided by the supervisor


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One answer of a policy to one prompt over all its tool turns; token ids are never re-encoded text."""

    task_id: str
    sample: int  # index within its group
    prompt: Ints  # [P]
    tokens: Ints  # [T] everything after the prompt, observations included
    mask: Bools  # [T] true where the policy sampled the token
    logprobs: Floats  # [T] log-probability under the sampling distribution, 0 where mask is false
    text: str  # decoded ``tokens``
    tool_calls: tuple[ToolCall, ...]
    answer: str | None  # last box of a trajectory that ended by itself
    stop: StopReason
    policy: str
    policy_versions: tuple[int, ...]  # of the weights that made it, in order; one where they did not change on the way
    contract: str  # hash of prompt format, fences, limits and sampling
    agent: str = ""  # who wrote it; empty where an older run did not say
    seat: int = 0  # its place in an episode of several seats
    reward: float | None = None  # what the environment paid, where it pays
    refused: str = ""  # why what stands in its box is no answer (``grading.refused``); empty where nothing was refused
    unrun: int = 0  # programs that were closed and never ran, where the tool was at hand

    @property
    def sampled(self) -> int:
        """Tokens that the policy itself produced."""
        return int(self.mask.sum())

    @property
    def lost(self) -> bool:
        """The sandbox failed it: it says nothing about the policy or the task."""
        return self.stop is StopReason.INFRASTRUCTURE


@dataclass(frozen=True, slots=True)
class Vote:
    """The majority among k answers. Missing answers stay in the denominator and are never a vote."""

    answer: str | None  # the canonical key that stands for the largest class; None when nobody answered
    p_hat: float  # size of the largest class / k
    k: int
    valid: int  # trajectories with an answer
    counts: tuple[tuple[str, int], ...]  # (key that stands for the class, votes), largest first, ties by key
    tied: bool
    forms: tuple[tuple[str, ...], ...] = ()  # all canonical keys of each class of ``counts``
    timeouts: int = 0  # pairs of answers that count as different because math-verify did not finish
    skipped: int = 0  # pairs that count as different because comparing the answers of this task had used up its budget


@dataclass(frozen=True, slots=True)
class Group:
    """The k trajectories of one task under one policy, and their vote."""

    task: Task
    trajectories: tuple[Trajectory, ...]
    vote: Vote


@dataclass(frozen=True, slots=True)
class LabelledTask:
    """A task that passed the gate, with the pseudo-label and p_hat frozen for the whole phase."""

    task: Task
    label: str
    p_hat: float
    counts: tuple[tuple[str, int], ...] = ()  # the votes behind the label, as in Vote

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: the task is for measuring only.
        """
        if self.task.measuring_only:
            raise ValueError(f"task {self.task.id} belongs to a suite: it is for measuring only, never for training")


@dataclass(frozen=True, slots=True)
class TrainRow:
    """One sequence with its per-token streams; index t speaks of token t, predicted from the tokens before it.

    All arrays have length L = prompt + response. Tokens with weight 0 teach nothing (prompt, observations).
    """

    tokens: Ints
    old_logp: Floats  # the denominator of the importance ratio
    advantage: Floats
    clip_low: Floats
    clip_high: Floats
    weight: Floats  # mask and normalisation of the loss in one number per token
    sampler_logp: Floats  # what the sampler said when it drew them: for corrections between sampler and trainer
    bin: int = 0  # p_hat bin the row is counted under


@dataclass(frozen=True, slots=True)
class Ban:
    """Tokens that may not be drawn: which ones follows from this and the vocabulary alone."""

    seed: int
    share: float  # of the tokens that the format does not need


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one optimiser step, and what holds for all of their tokens.

    The objective says what the numbers of a row are:

    - ``clipped``: as they are named.
    - ``likelihood``: the loss is - sum(weight * advantage * logp); ratio and bounds play no part.
    - ``preference``: ``old_logp`` is of the reference, a text's log-ratio is the sum of its tokens' by weight, and
      ``pairs`` names the row that is preferred and the one that is not; a row may be in many pairs.
    """

    rows: tuple[TrainRow, ...]
    kl: float = 0.0  # coefficient of the KL term to the reference policy
    bins: int = 1
    dual_clip: float | None = None  # the largest ratio that counts where the advantage is negative
    kl_gradient: KLGradient = "k3"
    banned: Ban | None = None  # what could not be drawn when all of the rows were written
    objective: Objective = "clipped"
    pairs: tuple[tuple[int, int], ...] = ()  # (preferred, other): places among the rows
    beta: float = 0.0  # of preferences: how much a log-ratio of the policy to its reference counts

    @property
    def teaches(self) -> bool:
        """Whether there is a pair, or any token of weight has an advantage or a KL term to obey: else the gradient is
        zero."""
        return bool(self.pairs) or any(
            bool(((row.weight > 0) & ((row.advantage != 0) | (self.kl > 0))).any()) for row in self.rows
        )


@dataclass(slots=True)
class TrainStats:
    """Sums over the trained tokens of one batch; divide by ``tokens`` for means.

    Without a KL term the tokens of rows without advantage are not computed, and not counted.
    """

    loss: float = 0.0
    tokens: int = 0
    kl: float = 0.0  # sum of k3 to the reference
    entropy: float = 0.0  # sum of the policy's entropies, nats
    ratio: float = 0.0
    clipped_low: int = 0
    clipped_high: int = 0
    clipped_dual: int = 0
    clipped_by_bin: list[int] = field(default_factory=list)
    tokens_by_bin: list[int] = field(default_factory=list)
    grad_norm: float = 0.0
    max_logp_gap: float = 0.0
    halvings: int = 0  # times that memory ran out since the last batch, and work was done again in smaller parts
    skipped: bool = False  # the update was not applied; the other fields say what it would have been
    idle: bool = False  # nothing in the batch teaches: no forward pass, no step of the optimiser
    pairs: int = 0  # of preferences
    preferred: int = 0  # pairs whose preferred row has gained more on the reference than the other
    margin: float = 0.0  # sum over pairs of beta times that lead, nats
