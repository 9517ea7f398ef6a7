"""What the training of any agent tells alike: its statistics as rows, alarms about its updates, and their figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from coevolve.config import GradingSection
from coevolve.grading.refused import REFUSALS, Refusing
from coevolve.learning.guard import largest_finite
from coevolve.methods.figures import LineFigure, RunView, Series
from coevolve.methods.reporting import Alarm, Seen, Unit, number
from coevolve.types import TrainStats, Trajectory

ENTROPY_LEFT = 0.02  # of the agent's entropy in its first training step
KL = 1.0  # nats per token
EMPTY = 0.5  # steps without any advantage
SKIPPED = 0.25  # updates left out per training step


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return float(np.mean(values)) if len(values) else None


def train_facts(stats: Sequence[TrainStats], kl: float, dual_clip: float | None = None) -> dict[str, object]:
    """Means over all trained tokens of one rollout batch, None where there was none to train on.

    Means are those of the updates that were made. The gradient norm is the largest of the batch's updates, those
    left out included, None where none is finite. ``micro_batch_halvings`` is there only where memory ran out,
    ``idle_updates`` only where nothing in a batch had an advantage (and no KL term held it), so that none was made,
    ``dual_clip_fraction``, a part of the clip fraction, only with a dual clip.
    """
    made = [s for s in stats if not s.skipped]
    tokens = sum(s.tokens for s in made)
    halvings = sum(s.halvings for s in stats)
    idle = sum(s.idle for s in stats)
    rare: dict[str, object] = {"micro_batch_halvings": halvings} if halvings else {}
    rare |= {"idle_updates": idle} if idle else {}
    clipped = [sum(s.clipped_low + s.clipped_high + s.clipped_dual for s in made), sum(s.clipped_dual for s in made)]
    shares = [count / tokens if tokens else None for count in clipped]
    dual: dict[str, object] = {} if dual_clip is None else {"dual_clip_fraction": shares[1]}
    return rare | {
        "entropy": sum(s.entropy for s in made) / tokens if tokens else None,
        "kl": sum(s.kl for s in made) / tokens if tokens and kl else None,
        "clip_fraction": shares[0],
        **dual,
        "grad_norm": largest_finite(s.grad_norm for s in stats),
        "skipped_updates": len(stats) - len(made),
        "tokens_trained": sum(s.tokens for s in stats),
    }


def unrun_facts(answers: Sequence[Trajectory]) -> dict[str, object]:
    """Programs that were closed and never ran, where they are more than those that did; else nothing."""
    calls, unrun = sum(len(x.tool_calls) for x in answers), sum(x.unrun for x in answers)
    return {"unrun": unrun} if unrun > calls else {}


def sampled_entropy(trajectories: Sequence[Trajectory]) -> float | None:
    """The policy's entropy in nats per token, estimated by the mean of -log p over all tokens that it sampled.

    Unbiased, and the same for every kind of text; None where nothing was sampled.
    """
    tokens = sum(x.sampled for x in trajectories)
    return -sum(float(x.logprobs[x.mask].sum(dtype=np.float64)) for x in trajectories) / tokens if tokens else None


def refused_facts(trajectories: Iterable[Trajectory], section: GradingSection) -> dict[str, object]:
    """Answers that were refused, by reason; nothing where no key refuses any."""
    if not Refusing.of(section):
        return {}
    counts = Counter(x.refused for x in trajectories)
    return {"refused": {reason: counts[reason] for reason in REFUSALS}}


def clip_by_bin(stats: Sequence[TrainStats], bins: int) -> dict[str, object]:
    """Clipped share of the trained tokens by p_hat bin, of the updates that were made; None where a bin is empty."""
    clipped, tokens = [0] * bins, [0] * bins
    for s in (s for s in stats if not s.skipped):
        for b in range(min(bins, len(s.tokens_by_bin))):
            clipped[b] += s.clipped_by_bin[b]
            tokens[b] += s.tokens_by_bin[b]
    shares = [c / n if n else None for c, n in zip(clipped, tokens, strict=True)]
    return {"clip_fraction_by_p_hat": shares, "tokens_by_p_hat": tokens}


def training_alarms(event: str, name: str, label: str) -> Mapping[str, Alarm]:
    """Checks of an agent's training steps, by kind.

    Args:
        event: of the rows that its steps log.
        name: in the kind of its alarm about entropy.
        label: what the method calls the agent.
    """
    return {
        f"{name} entropy": partial(_entropy, event, label),
        "KL": partial(_kl, event, label),
        "updates left out": partial(_skipped, event, label),
    }


def _entropy(event: str, label: str, seen: Seen) -> str:
    known, now = _numbers(seen, event, "entropy")
    if not now or now[-1] >= ENTROPY_LEFT * known[0]:
        return ""
    return f"the entropy of the {label} collapsed: {now[-1]:.2g} nats per token, {known[0]:.2g} at first"


def _kl(event: str, label: str, seen: Seen) -> str:
    last = number(seen.last(event), "kl")
    return f"the {label} ran away from its reference: a KL of {last:.2g} nats per token" if last > KL else ""


def _skipped(event: str, label: str, seen: Seen) -> str:
    counts = [number(row, "skipped_updates") for row in seen.now(event)]
    if sum(counts) <= SKIPPED * len(counts):
        return ""
    return (
        f"{sum(counts):.0f} updates of the {label} were left out in {len(counts)} steps: "
        "they were not finite, or exploded"
    )


def without_advantage(seen: Seen, event: str, label: str, groups: int) -> str:
    """A sentence where in most steps of an iteration there was nothing to learn.

    Args:
        seen: the rows.
        event: of the steps.
        label: what the method calls the agent.
        groups: of a step; where no text of any of them was better than another, nothing was taught.
    """
    steps = seen.now(event)
    empty = sum(number(row, "zero_groups") >= groups or row.get("tokens_trained") == 0 for row in steps)
    if empty <= EMPTY * len(steps):
        return ""
    return (
        f"in {empty} of {len(steps)} steps of the {label} there was nothing to learn: "
        "in no group was one text rewarded above another"
    )


def _numbers(seen: Seen, event: str, key: str) -> tuple[Sequence[float], Sequence[float]]:
    """What was measured so far, and in this iteration."""
    so_far, now = seen.all(event), seen.now(event)
    return [r[key] for r in so_far if r.get(key) is not None], [r[key] for r in now if r.get(key) is not None]


def training_figures(run: RunView, event: str, agent: str) -> Iterator[LineFigure]:
    """What every training phase shows of its steps: entropy, KL and updates that were skipped; one line per agent.

    Args:
        event: of its rows in metrics.jsonl.
        agent: who is trained.
    """

    def of(title: str, note: str, key: str, digits: int, unit: Unit) -> LineFigure:
        line = Series(run.label(agent), run.over_steps(event, key), agent, tasks={})
        return LineFigure(title, note, "health", (line,), unit, x="step", digits=digits)

    yield of("Entropy", "nats per sampled token; near zero an agent always writes the same", "entropy", 1, Unit.NATS)
    if any(row.get("event") == event and row.get("kl") is not None for row in run.rows):
        note = "nats per token, to the reference policy of each agent; measured where its coefficient is not 0"
        yield of("KL to the reference", note, "kl", 3, Unit.NATS)
    if any(row.get("skipped_updates") for row in run.rows):
        note = "the loss or gradient was not finite, or exploded: the weights stayed as they were"
        yield of("Skipped updates", note, "skipped_updates", 0, Unit.COUNT)
