"""What filling a pool tells: the facts of a pool, and where they are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from coevolve.curriculum.archive import Archive
from coevolve.curriculum.neighbours import nearest_distances
from coevolve.curriculum.voting import agrees, vote_entropy
from coevolve.grading.equivalence import Judge
from coevolve.methods.config import RewardSection
from coevolve.methods.metrics import mean, sampled_entropy, unrun_facts
from coevolve.methods.phases.checks_report import checks_table, contradicted_labels
from coevolve.methods.phases.figures import pool_figures
from coevolve.methods.phases.pool_alarms import POOL as POOL
from coevolve.methods.phases.pool_alarms import pool_alarms, pool_stops
from coevolve.methods.phases.pool_tasks import Pool
from coevolve.methods.reporting import (
    Better,
    Finding,
    Labels,
    PhaseReport,
    Quantity,
    Row,
    Seen,
    Summary,
    Tone,
    Unit,
    at,
    iterations,
    listed,
    part_of,
    percent,
    series,
)
from coevolve.types import PROPOSER, SOLVER, Group, Trajectory
from coevolve.worlds.base import World

_REFUSED = {"error": "with what a failing program said", "unevaluated": "with the question's own expression"}


def pool_facts(pool: Pool, world: World, judge: Judge) -> dict[str, object]:
    """What the pool looks like without knowing any truth."""
    groups, fate, written = pool.groups, Counter(pool.fates), len(pool.texts)
    described = [world.describe(g.task.question) for g in groups]
    own = [agrees(g.task.proposed_answer, g.vote, judge=judge) for g in groups if g.task.proposed_answer]
    return {
        "event": POOL,
        "iteration": pool.iteration,
        "size": written,
        "asked": len(groups),
        "kept": len(pool.gate.kept),
        "well_formed": 1 - fate["malformed"] / written,
        "duplicates": fate["duplicate"] / max(1, written - fate["malformed"]),
        "text_duplicates": Archive().duplicate_share([w.trajectory.text for w in pool.texts]),
        "votes": max((g.vote.k for g in groups), default=0),
        "votes_heard": sum(g.vote.k for g in groups),
        "vote_entropy": mean([vote_entropy(g.vote) for g in groups]),
        "p_hat_histogram": np.bincount([round(10 * g.vote.p_hat) for g in groups], minlength=11).tolist(),
        "tool_calls": mean([len(x.tool_calls) for x in _answers(groups)]),
        "steps_histogram": dict(sorted(Counter(str(d["steps"]) for d in described).items())),
        "topics": dict(sorted(Counter(str(d["topic"]) for d in described).items())),
        "reasons": {str(k): n for k, n in pool.gate.reasons.items()}
        | {name: fate[name] for name in ("malformed", "duplicate", "reserved")},
        "tied": sum(g.vote.tied for g in groups),
        "pairs_unfinished": sum(g.vote.timeouts for g in groups),
        "pairs_skipped": sum(g.vote.skipped for g in groups),
        "votes_undecided": sum(g.vote.timeouts + g.vote.skipped > 0 for g in groups),
        "own_answer_agreement": sum(own) / len(own) if own else None,
        **unrun_facts(_answers(groups)),
    }


def novelty_facts(questions: Sequence[str], earlier: Sequence[str], section: RewardSection) -> dict[str, object]:
    """How far the questions asked are from those of earlier pools, by the measure of the repetition penalty."""
    if not questions or not earlier:
        return {"archive_nearest_mean": None, "archive_near_share": None}
    nearest = nearest_distances(questions, earlier, mask_numbers=section.mask_numbers)
    return {
        "archive_nearest_mean": float(nearest.mean()),
        "archive_near_share": float((nearest < section.bleu_threshold).mean()),
    }


def sampling_facts(pool: Pool) -> dict[str, object]:
    """How both agents sampled: the writer's tool calls, and entropies in nats per token."""
    texts = [text.trajectory for text in pool.texts]
    return {
        "own_tool_calls": mean([len(x.tool_calls) for x in texts]),
        "proposer_entropy": sampled_entropy(texts),
        "solver_entropy": sampled_entropy(_answers(pool.groups)),
    }


def asked_facts(pool: Pool) -> dict[str, object]:
    """What became of the texts by the topic and by the level that they were asked for; nothing where none was named."""
    kept = set(pool.kept)
    counts: dict[str, dict[str, Counter[str]]] = {"asked_topics": {}, "asked_levels": {}}
    for text, fate in zip(pool.texts, pool.fates, strict=True):
        what = {"written": True, "asked": fate == "asked", "kept": text.task is not None and text.task.id in kept}
        for key, name in (("asked_topics", text.asked.topic), ("asked_levels", text.asked.level)):
            if name:
                counts[key].setdefault(name, Counter()).update({fact: int(is_so) for fact, is_so in what.items()})
    return {key: {name: dict(of) for name, of in sorted(found.items())} for key, found in counts.items() if found}


def _answers(groups: Sequence[Group]) -> list[Trajectory]:
    return [x for g in groups for x in g.trajectories]


# What of a pool's row the summary names first.
_FIRST = (
    "size",
    "kept",
    "label_accuracy_kept",
    "label_accuracy_all",
    "well_formed",
    "duplicates",
    "p_hat_histogram",
    "tool_calls",
)


def pool_report(labels: Labels) -> PhaseReport:
    """The report of the phase for a method that calls its agents so."""
    proposer, solver = labels[PROPOSER], labels[SOLVER]
    return PhaseReport(
        name=POOL,
        title="pool",
        activity="writing and voting on tasks",
        headline=_headline,
        summary=lambda rows, iteration: {POOL: part_of(Seen(rows, iteration).last(POOL), _FIRST)},
        quantities=_quantities(solver),
        alarms=pool_alarms(proposer, solver),
        stops=pool_stops,
        figures=(partial(pool_figures, POOL), lambda run: checks_table(run, POOL)),
        agent=PROPOSER,
        findings=(
            _labels,
            partial(contradicted_labels, POOL),
            partial(_kept, solver),
            _writing,
            partial(_duplicates, proposer),
        ),
    )


def _quantities(solver: str) -> tuple[Quantity, ...]:
    def share(key: str, heading: str, name: str, better: Better, meaning: str, **more: Any) -> Quantity:
        path, metric = (POOL, name), f"{POOL}/{name}"
        return Quantity(key, heading, path, Unit.SHARE, better, first=1, meaning=meaning, metric=metric, **more)

    higher, lower, count = Better.HIGHER, Better.LOWER, Unit.COUNT
    labels, written = (
        "kept pseudo-labels that are true, of those whose truth is known",
        "proposed questions that pass the format check",
    )
    near, kept = "questions near one of an earlier pool", f"tasks of the pool that the gate keeps to train the {solver}"
    total = (POOL, "size")
    return (
        share(
            "labels",
            "pseudo-label accuracy",
            "label_accuracy_kept",
            higher,
            labels,
            column="label accuracy",
            behind=_of_known,
        ),
        share("well_formed", "well-formed", "well_formed", higher, written, column="well formed", default=False),
        share("duplicates", "duplicates", "duplicates", lower, "questions asked before", default=False),
        share("novelty", "near the archive", "archive_near_share", lower, near, default=False),
        Quantity(
            "contradicted",
            "contradicted",
            (POOL, "contradicted"),
            count,
            lower,
            first=1,
            meaning="tasks whose majority is not what the programs behind it printed",
            total=(POOL, "asked"),
            default=False,
        ),
        Quantity(
            "kept", "kept", (POOL, "kept"), count, first=1, column="kept", meaning=kept, total=total, default=False
        ),
    )


def _headline(rows: Sequence[Row], iteration: int) -> str:
    row = Seen(rows, iteration).last(POOL)
    accuracy = row.get("label_accuracy_kept")
    labels = f"pseudo-label accuracy {percent(accuracy)}" if accuracy is not None else ""
    if "label_known_kept" in row and row.get("kept"):
        labels = labels_right(row)
    return (
        f"{row.get('size')} proposed · {percent(row.get('well_formed'))} well-formed · "
        f"{row.get('kept')} kept by the gate"
        + (f" · {labels}" if labels else "")
        + _told_of_refused(row.get("refused"))
    )


def _told_of_refused(counts: Mapping[str, int] | None) -> str:
    """How many boxes were no answer, and why; empty where none was refused."""
    told = [f"{n} {_REFUSED[reason]}" for reason, n in (counts or {}).items() if n and reason in _REFUSED]
    return f" · boxes refused: {', '.join(told)}" if told else ""


def labels_right(pool: Row) -> str:
    """How many labels of a pool are true, where the truth of some tasks only is known."""
    known, kept, share = pool["label_known_kept"], pool["kept"], pool.get("label_accuracy_kept")
    if not known or share is None:
        return f"labels right: none of the {kept} kept could be checked"
    return f"labels right {round(share * known)} of {known} checked of {kept} kept"


def _of_known(part: object) -> str:
    """ "(25/36)": of how many kept tasks the truth is known, where it is not known of all."""
    known, kept = at(part, POOL, "label_known_kept"), at(part, POOL, "kept")
    return "" if known is None else f"({known}/{kept})"


def _labels(summary: Summary, rows: Sequence[Row]) -> Finding | None:
    values = series(summary, POOL, "label_accuracy_kept")
    if not values:
        return None
    last = values[-1][1]
    text = f"Right labels among kept tasks, by iteration: {listed(values)} (known to the meter only). "
    pools = [pool for row in iterations(summary) if isinstance(pool := at(row, POOL), Mapping)]
    if any("label_known_kept" in pool for pool in pools):
        checked = ", ".join(f"{pool.get('label_known_kept')} of {pool.get('kept')}" for pool in pools)
        text += f"Checked are those that an exact solver can read: {checked}. "
    if last >= 0.75:
        return Finding("good", "Most pseudo-labels are right", text + "Below 75 % would be a warning.")
    reason = "The majority is often wrong in one and the same way, and such tasks pass the gate."
    return Finding("watch" if last >= 0.6 else "bad", "Many pseudo-labels are wrong", text + reason)


def _kept(solver: str, summary: Summary, rows: Sequence[Row]) -> Finding | None:
    found = [at(row, POOL) for row in iterations(summary)]
    pools = [pool for pool in found if isinstance(pool, Mapping)]
    if not pools or not pools[-1]["size"]:
        return None
    text = "Kept: " + ", ".join(f"{pool['kept']} of {pool['size']}" for pool in pools) + "."
    if pools[-1]["kept"] / pools[-1]["size"] >= 0.1:
        return Finding("good", "The gate finds enough tasks at the frontier", text)
    tone: Tone = "watch" if pools[-1]["kept"] else "bad"
    return Finding(tone, "Hardly any task is at the frontier", f"{text} The {solver} has little to learn from.")


def _writing(summary: Summary, rows: Sequence[Row]) -> Finding | None:
    values = series(summary, POOL, "well_formed")
    if not values:
        return None
    text = f"Well-formed share of written questions, by iteration: {listed(values)}."
    if values[-1][1] >= 0.9:
        return Finding("good", "Questions are well formed", text)
    text += " Below 90 % is unusual."
    if values[-1][1] >= 0.7:
        return Finding("watch", "Some questions are malformed", text)
    return Finding("bad", "Many questions are malformed", text)


def _duplicates(proposer: str, summary: Summary, rows: Sequence[Row]) -> Finding | None:
    values = series(summary, POOL, "duplicates")
    if not values:
        return None
    text = f"Questions that were written before, by iteration: {listed(values)}."
    if values[-1][1] <= 0.05:
        return Finding("good", "Questions are new", text)
    tone: Tone = "watch" if values[-1][1] <= 0.2 else "bad"
    return Finding(tone, f"The {proposer} repeats itself", text + " Above 5 % is unusual.")
