"""What went wrong in an iteration, in words. Pure functions over the rows of metrics.jsonl.

An alarm is for what should stop a person: its limits are far from what a healthy run shows. ``docs/health.md`` says
what each means and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

LEAST = 20  # texts, tasks or labels below which a share says little
REPEATED = 0.5  # share of a pool's texts that repeat another
ONE_KIND = 0.9  # share of a pool's questions that are of one topic and of one number of steps
WELL_FORMED = 0.5
ONE_MIND = 0.9  # share of a pool's tasks whose votes all agree, or of which no two do
FRONTIER = 0.02  # share of a pool that the gate keeps
LABELS_RIGHT = 0.5  # share of kept tasks
ENTROPY_LEFT = 0.02  # of the agent's entropy in its first training step
TOOL_LEFT = 0.1  # of the tool calls per answer of the best step so far
TOOL_USED = 0.2  # tool calls per answer, below which the tool was hardly used in the first place
KL = 1.0  # nats per token
SKIPPED = 0.25  # updates left out per training step

AGENTS = {"curriculum": "the curriculum agent", "executor": "the executor"}


@dataclass(frozen=True, slots=True)
class Alarm:
    """What went wrong: one of the names of ``docs/health.md``, and a sentence with the numbers."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows of a run up to the end of an iteration."""

    rows: Sequence[Row]
    iteration: int

    def all(self, event: str) -> list[Row]:
        """Rows of an event, of all iterations so far."""
        return [r for r in self.rows if r.get("event") == event and r.get("iteration", 0) <= self.iteration]

    def now(self, event: str) -> list[Row]:
        """Rows of an event in this iteration."""
        return [r for r in self.all(event) if r.get("iteration") == self.iteration]

    @property
    def pool(self) -> Row:
        """The pool of this iteration; empty when there is none."""
        return next(iter(self.now("pool")), {})


def alarms(rows: Sequence[Row], iteration: int) -> list[Alarm]:
    """Everything that went wrong in an iteration; nothing is said about what was not measured.

    Args:
        rows: of metrics.jsonl; those of later iterations are not looked at.
        iteration: counted from 1; of the base model (0) there is nothing to say.
    """
    seen = Seen(rows, iteration)
    return [Alarm(kind, text) for kind, check in _CHECKS.items() if (text := check(seen))]


def _repeats(seen: Seen) -> str:
    share = max(_number(seen.pool, "duplicates"), _number(seen.pool, "text_duplicates"))
    if _number(seen.pool, "size") < LEAST or share <= REPEATED:
        return ""
    return f"the curriculum agent writes the same again and again: {_percent(share)} of the pool was written before"


def _one_kind(seen: Seen) -> str:
    asked, topics, steps = _number(seen.pool, "asked"), seen.pool.get("topics"), seen.pool.get("steps_histogram")
    if asked < LEAST or not topics or not steps:
        return ""
    topic, length = max(topics, key=topics.__getitem__), max(steps, key=steps.__getitem__)
    share = min(topics[topic], steps[length]) / asked
    if share <= ONE_KIND or (topic, length) == ("text", "0"):  # "text" and 0: the world cannot tell
        return ""
    return f"nearly all questions are of one kind: {_percent(topics[topic] / asked)} ask for {topic}" + (
        f" in {length} step(s)" if length != "0" else ""
    )


def _malformed(seen: Seen) -> str:
    share = _number(seen.pool, "well_formed", 1.0)
    if _number(seen.pool, "size") < LEAST or share >= WELL_FORMED:
        return ""
    return f"questions are no longer well formed: {_percent(share)} of what the curriculum agent wrote can be asked"


def _all_agree(seen: Seen) -> str:
    bins, asked = seen.pool.get("p_hat_histogram") or [], _number(seen.pool, "asked")
    if asked < LEAST or not bins or bins[-1] <= ONE_MIND * asked:
        return ""
    return f"all votes agree: in {bins[-1]} of {asked:.0f} tasks every answer is the same, and nothing is left to learn"


def _none_agree(seen: Seen) -> str:
    bins, asked, votes = seen.pool.get("p_hat_histogram"), _number(seen.pool, "asked"), seen.pool.get("votes")
    if asked < LEAST or not bins or not votes:
        return ""
    alone = sum(bins[: round(10 / votes) + 1])  # p_hat of a class with one vote
    if alone <= ONE_MIND * asked:
        return ""
    return f"no votes agree: in {alone} of {asked:.0f} tasks hardly two of {votes} answers are the same"


def _no_frontier(seen: Seen) -> str:
    size, kept = _number(seen.pool, "size"), _number(seen.pool, "kept")
    if size < LEAST or kept >= FRONTIER * size:
        return ""
    return f"nothing is at the frontier: the gate kept {kept:.0f} of {size:.0f} tasks, so the executor learns nothing"


def _labels(seen: Seen) -> str:
    share = _number(seen.pool, "label_accuracy_kept", 1.0)
    if _number(seen.pool, "kept") < LEAST or share >= LABELS_RIGHT:
        return ""
    return (
        f"most labels are wrong: {_percent(share)} of those that train the executor are true (known to the meter only)"
    )


def _entropy(agent: str) -> Callable[[Seen], str]:
    def check(seen: Seen) -> str:
        known = [r["entropy"] for r in seen.all(f"{agent}_step") if r.get("entropy") is not None]
        now = [r["entropy"] for r in seen.now(f"{agent}_step") if r.get("entropy") is not None]
        if not now or now[-1] >= ENTROPY_LEFT * known[0]:
            return ""
        return f"the entropy of {AGENTS[agent]} collapsed: {now[-1]:.2g} nats per token, {known[0]:.2g} at first"

    return check


def _tool(seen: Seen) -> str:
    used = [_number(r, "tool_calls") for r in seen.all("executor_step")]
    now = [_number(r, "tool_calls") for r in seen.now("executor_step")]
    if not now or max(used) < TOOL_USED or now[-1] >= TOOL_LEFT * max(used):
        return ""
    return f"the executor stopped using the tool: {now[-1]:.2f} calls per answer, {max(used):.2f} at its best"


def _kl(seen: Seen) -> str:
    for agent, name in AGENTS.items():
        known = [_number(r, "kl") for r in seen.now(f"{agent}_step")]
        if known and known[-1] > KL:
            return f"{name} ran away from its reference: a KL of {known[-1]:.2g} nats per token"
    return ""


def _skipped(seen: Seen) -> str:
    for agent, name in AGENTS.items():
        counts = [_number(r, "skipped_updates") for r in seen.now(f"{agent}_step")]
        if sum(counts) > SKIPPED * len(counts):
            return (
                f"{sum(counts):.0f} updates of {name} were left out in {len(counts)} steps: "
                "they were not finite, or exploded"
            )
    return ""


def _no_gradient(seen: Seen) -> str:
    steps = seen.now("executor_step")
    if not steps or any(r.get("tokens_trained") for r in steps):
        return ""
    return "the executor learned nothing: in no group of answers was one better than another"


def _worse(seen: Seen) -> str:
    (row,) = seen.now("probe")[-1:] or [{}]
    if not row.get("worse") or seen.now("rollback"):
        return ""
    return (
        f"the executor became worse on the probe: {_percent(row['agreement'])} of its answers agree, "
        f"{_percent(row['best_agreement'])} of the best one's; health.rollback is off, so it goes on"
    )


def _again(seen: Seen) -> str:
    times = len(seen.all("rollback"))
    if times < 2 or not seen.now("rollback"):
        return ""
    return f"the executor was rolled back again, {times} times so far: what it is taught makes it worse"


_CHECKS: dict[str, Callable[[Seen], str]] = {
    "repeats": _repeats,
    "one kind": _one_kind,
    "malformed": _malformed,
    "all agree": _all_agree,
    "none agree": _none_agree,
    "no frontier": _no_frontier,
    "wrong labels": _labels,
    "curriculum entropy": _entropy("curriculum"),
    "executor entropy": _entropy("executor"),
    "tool unused": _tool,
    "KL": _kl,
    "updates left out": _skipped,
    "no gradient": _no_gradient,
    "worse": _worse,
    "rolled back again": _again,
}
KINDS: Iterable[str] = tuple(_CHECKS)


def _number(row: Row, key: str, otherwise: float = 0.0) -> float:
    """A number of a row; what was not measured raises no alarm."""
    value = row.get(key)
    return float(value) if isinstance(value, int | float) else otherwise


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
