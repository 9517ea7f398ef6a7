"""What a pool says when something is wrong with it: alarms, and what ends a run because nothing can be learned."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from coevolve.methods.obstacles import Obstacle, unanswered, unasked, unkept, unrun
from coevolve.methods.reporting import Alarm, Row, Seen, number, percent
from coevolve.types import SOLVER

POOL = "pool"  # the phase, and the event of its rows

LEAST = 20  # texts, tasks or labels below which a share says little
REPEATED = 0.5  # share of a pool's texts that repeat another
ONE_KIND = 0.9  # share of a pool's questions that are of one topic and of one number of steps
WELL_FORMED = 0.5
UNANIMOUS = 0.9  # share of a pool's tasks whose votes all agree, or of which no two do
UNDECIDED = 0.05  # share of a pool's votes in which pairs of answers were not decided
FRONTIER = 0.02  # share of a pool that the gate keeps
LABELS_RIGHT = 0.5  # share of kept tasks
LEAST_KNOWN = 10  # kept tasks with a known truth below which the share of right labels among them says little


def pool_alarms(proposer: str, solver: str) -> Mapping[str, Alarm]:
    """Checks of a pool, by kind, for a method that calls its agents so."""
    return {
        "repeats": partial(_repeats, proposer),
        "one kind": _one_kind,
        "malformed": partial(_malformed, proposer),
        "all agree": _all_agree,
        "none agree": _none_agree,
        "unrun programs": partial(_unrun, solver),
        "nobody answered": partial(_nobody_answered, solver),
        "undecided votes": _undecided,
        "no frontier": partial(_no_frontier, solver),
        "wrong labels": partial(_wrong_labels, solver),
    }


def _repeats(proposer: str, seen: Seen) -> str:
    row = seen.last(POOL)
    share = max(number(row, "duplicates"), number(row, "text_duplicates"))
    if number(row, "size") < LEAST or share <= REPEATED:
        return ""
    return f"the {proposer} writes the same again and again: {percent(share)} of the pool was written before"


def _one_kind(seen: Seen) -> str:
    row = seen.last(POOL)
    asked, topics, steps = number(row, "asked"), row.get("topics"), row.get("steps_histogram")
    if asked < LEAST or not topics or not steps:
        return ""
    topic, length = max(topics, key=topics.__getitem__), max(steps, key=steps.__getitem__)
    share = min(topics[topic], steps[length]) / asked
    if share <= ONE_KIND or (topic, length) == ("text", "0"):  # "text" and 0: the world cannot tell
        return ""
    return f"nearly all questions are of one kind: {percent(topics[topic] / asked)} ask for {topic}" + (
        f" in {length} step(s)" if length != "0" else ""
    )


def _malformed(proposer: str, seen: Seen) -> str:
    row = seen.last(POOL)
    share = number(row, "well_formed", 1.0)
    if number(row, "size") < LEAST or share >= WELL_FORMED:
        return ""
    before = [number(r, "well_formed") for r in seen.all(POOL) if number(r, "size") >= LEAST]
    said = "no longer well formed" if max(before) >= WELL_FORMED else "not well formed, and never were"
    return f"questions are {said}: {percent(share)} of what the {proposer} wrote can be asked"


def _all_agree(seen: Seen) -> str:
    row = seen.last(POOL)
    bins, asked = row.get("p_hat_histogram") or [], number(row, "asked")
    if asked < LEAST or not bins or bins[-1] <= UNANIMOUS * asked:
        return ""
    return f"all votes agree: in {bins[-1]} of {asked:.0f} tasks every answer is the same, and nothing is left to learn"


def _none_agree(seen: Seen) -> str:
    row = seen.last(POOL)
    bins, asked, votes = row.get("p_hat_histogram"), number(row, "asked"), row.get("votes")
    if asked < LEAST or not bins or not votes:
        return ""
    silent = _unanswered(row)
    alone = sum(bins[: round(10 / votes) + 1])  # p_hat of a class with one vote
    if alone <= UNANIMOUS * asked or silent > UNANIMOUS * asked:
        return ""
    but = f", and in {silent:.0f} there is none that can be read" if silent else ""
    return f"no votes agree: in {alone} of {asked:.0f} tasks hardly two of {votes} answers are the same{but}"


def _nobody_answered(solver: str, seen: Seen) -> str:
    row = seen.last(POOL)
    asked, silent = number(row, "asked"), _unanswered(row)
    if asked < LEAST or silent <= UNANIMOUS * asked:
        return ""
    return f"nobody answered: in {silent:.0f} of {asked:.0f} tasks no answer of the {solver} can be read"


def _unrun(solver: str, seen: Seen) -> str:
    row = seen.last(POOL)
    count = number(row, "unrun")
    if count < LEAST:
        return ""
    return (
        f"most programs never ran: {count:.0f} that the {solver} closed in answers to the pool, since the line "
        "```output did not follow (tool.call_at=fence runs them)"
    )


def _unanswered(row: Row) -> float:
    """Tasks of a pool to which nobody gave an answer that can be read."""
    return number(row.get("reasons") or {}, "no_answer")


def _undecided(seen: Seen) -> str:
    row = seen.last(POOL)
    votes, asked = number(row, "votes_undecided"), number(row, "asked")
    if asked < LEAST or votes <= UNDECIDED * asked:
        return ""
    return (
        f"votes are left undecided: in {votes:.0f} of {asked:.0f} tasks pairs of answers were not compared in time, "
        "and count as different"
    )


def _no_frontier(solver: str, seen: Seen) -> str:
    row = seen.last(POOL)
    size, kept = number(row, "size"), number(row, "kept")
    if size < LEAST or kept >= FRONTIER * size:
        return ""
    asked = number(row, "asked", size)
    few = f" (only {asked:.0f} of them could be asked)" if asked < WELL_FORMED * size else ""
    return (
        f"nothing is at the frontier: the gate kept {kept:.0f} of {size:.0f} texts{few}, so the {solver} learns nothing"
    )


def pool_stops(seen: Seen) -> list[Obstacle]:
    """What the first pool of all shows: nothing to ask, nobody who answers, no program that runs, no task kept."""
    row = seen.last(POOL)
    size, config = number(row, "size"), seen.config
    if seen.iteration != 1 or size < LEAST:
        return []
    where, asked = "the first pool", number(row, "asked")
    if not number(row, "well_formed", 1.0):
        return [unasked(where, round(size))]
    if asked and _unanswered(row) == asked:
        return [unanswered(where)]
    paid = config.proposer.train and config.has_tool(SOLVER) and config.reward.lambda_tool > 0
    if paid and not number(row, "tool_calls", 1.0):
        return [unrun(where)]
    return [] if number(row, "kept", 1.0) else [unkept(row, *config.gate.bounds(1))]


def _wrong_labels(solver: str, seen: Seen) -> str:
    row = seen.last(POOL)
    share = number(row, "label_accuracy_kept", 1.0)
    known = row.get("label_known_kept")
    few = number(row, "kept") < LEAST if known is None else known < LEAST_KNOWN
    if few or share >= LABELS_RIGHT:
        return ""
    told = f"{percent(share)} of those that train the {solver} are true"
    if known is not None:
        told += f", of the {known} of {row.get('kept')} that could be checked"
    return f"most labels are wrong: {told} (known to the meter only)"
