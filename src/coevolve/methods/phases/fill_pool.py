"""Phase 2 of Agent0: the frozen curriculum agent writes a pool, the executor votes, the gate keeps the frontier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coevolve.config import Config, at_iteration
from coevolve.curriculum.archive import Archive
from coevolve.curriculum.gate import Gate, Reason, gate
from coevolve.curriculum.neighbours import nearest_distances
from coevolve.curriculum.voting import agrees, vote_entropy
from coevolve.methods.base import State, Store
from coevolve.methods.labels import verified_label
from coevolve.methods.metrics import sampled_entropy
from coevolve.methods.polling import poll, pooled
from coevolve.methods.probe import freeze_probe
from coevolve.methods.questions import Written, read_questions, task_of
from coevolve.rollout.seeds import seed_of
from coevolve.types import PROPOSER, Group, LabelledTask, Trajectory

_OUTSIDE: dict[Reason, str] = {"below": "outside the gate", "above": "outside the gate"}  # in the table of tasks


class FillPool:
    """Write, drop what may not be trained on, vote, label, gate. One pass."""

    name = "pool"
    by_steps = False
    steps = 1

    def __init__(self, config: Config, iteration: int) -> None:
        self.iteration = iteration

    def run(self, state: State) -> list[Path]:
        """Leaves ``tasks/iteration-t.parquet``, one row per written text, and the current executor's trajectories."""
        config, t = state.config, self.iteration
        seed = seed_of(config.seed, "pool", t)
        agent, last = (PROPOSER, t) if config.proposer.train else (PROPOSER, 0)
        texts = state.rollouts.write(state.checkpoints.weights(agent, last), config.pool.size, seed=seed)
        written = read_questions(state.world, texts, config, iteration=t, prefix=f"p{t}")
        earlier = earlier_questions(state.store, t)
        fates = _fates(state, written, Archive(earlier))
        tasks = [w.task for w, fate in zip(written, fates, strict=True) if w.task is not None and fate == "asked"]
        by_voter = poll(state, tasks, t)
        with state.spent.grading():
            groups = [Group(task, by_voter[0][n], pooled(state, by_voter, n)) for n, task in enumerate(tasks)]
            passed = _gated(state, groups, t)
        kept = {g.task.id for g in passed.kept}
        facts = _facts(state, t, written, fates, groups, kept, {str(k): n for k, n in passed.reasons.items()})
        facts |= _novelty(config, [task.question for task in tasks], earlier)
        answers = [x for group in by_voter[0] for x in group]
        facts |= {"own_tool_calls": float(np.mean([len(x.tool_calls) for x in texts]))}
        facts |= {"proposer_entropy": sampled_entropy(texts), "solver_entropy": sampled_entropy(answers)}
        state.listener.on_pool(t, groups, sorted(kept), facts)
        tokens = sum(x.sampled for answers in by_voter for group in answers for x in group)
        state.progress.step(1, {"written": len(texts), "kept": len(kept), "tokens": tokens})
        rows = _rows(state, t, written, fates, groups, passed.fates)
        files = [state.store.write_table(f"tasks/iteration-{t}.parquet", rows)]
        has_probe = t == 1 and config.solver.train and config.health.probe > 0
        return [*files, *freeze_probe(state, tasks, by_voter[0])] if has_probe else files


def _gated(state: State, groups: Sequence[Group], iteration: int) -> Gate:
    section = state.config.gate
    bounds = at_iteration(section.lower, iteration), at_iteration(section.upper, iteration)

    def verified(group: Group) -> bool:
        found = verified_label(group.task, group.trajectories, judge=state.judge)
        return found is not None and agrees(found.label, group.vote, judge=state.judge)

    margin = at_iteration(section.margin, iteration)
    return gate(
        groups, *bounds, enabled=section.enabled, margin=margin, verified=verified if section.verified else None
    )


def earlier_questions(store: Store, iteration: int) -> list[str]:
    """Every well-formed question that the pools before this iteration held."""
    return [
        str(row["question"])
        for t in range(1, iteration)
        for row in store.read_table(f"tasks/iteration-{t}.parquet")
        if row["well_formed"]
    ]


def kept_tasks(state: State, iteration: int) -> list[LabelledTask]:
    """The tasks that the gate kept, with their frozen labels, as the pool phase wrote them down."""
    return [
        LabelledTask(
            task_of(state.world, state.config, str(row["task_id"]), str(row["question"]), iteration),
            str(row["label"]),
            float(str(row["p_hat"])),
            _counts(row["counts"]),
        )
        for row in state.store.read_table(f"tasks/iteration-{iteration}.parquet")
        if row["kept"]
    ]


def _counts(column: object) -> tuple[tuple[str, int], ...]:
    assert isinstance(column, list)
    return tuple((str(entry["answer"]), int(entry["votes"])) for entry in column)


def _fates(state: State, written: Sequence[Written], archive: Archive) -> list[str]:
    """``malformed``, ``duplicate`` (of this pool or an earlier one), ``reserved``, or ``asked``."""
    out = []
    for w in written:
        if w.task is None:
            out.append("malformed")
        elif w.question in archive:
            out.append("duplicate")
        elif state.world.is_reserved(w.question):
            out.append("reserved")
        else:
            out.append("asked")
        if w.task is not None:
            archive.add([w.question])
    return out


def _facts(
    state: State,
    iteration: int,
    written: Sequence[Written],
    fates: Sequence[str],
    groups: Sequence[Group],
    kept: set[str],
    reasons: dict[str, int],
) -> dict[str, object]:
    """What the pool looks like without knowing any truth."""
    described = [state.world.describe(g.task.question) for g in groups]
    proposed = [g for g in groups if g.task.proposed_answer]
    own = [agrees(g.task.proposed_answer, g.vote, judge=state.judge) for g in proposed]
    fate = Counter(fates)
    return {
        "event": "pool",
        "iteration": iteration,
        "size": len(written),
        "asked": len(groups),
        "kept": len(kept),
        "well_formed": 1 - fate["malformed"] / len(written),
        "duplicates": fate["duplicate"] / max(1, len(written) - fate["malformed"]),
        "text_duplicates": Archive().duplicate_share([w.trajectory.text for w in written]),
        "votes": max((g.vote.k for g in groups), default=0),
        "votes_heard": sum(g.vote.k for g in groups),
        "vote_entropy": float(np.mean([vote_entropy(g.vote) for g in groups])) if groups else None,
        "p_hat_histogram": np.bincount([round(10 * g.vote.p_hat) for g in groups], minlength=11).tolist(),
        "tool_calls": float(np.mean([len(x.tool_calls) for g in groups for x in g.trajectories])) if groups else None,
        "steps_histogram": dict(sorted(Counter(str(d["steps"]) for d in described).items())),
        "topics": dict(sorted(Counter(str(d["topic"]) for d in described).items())),
        "reasons": reasons | {name: fate[name] for name in ("malformed", "duplicate", "reserved")},
        "tied": sum(g.vote.tied for g in groups),
        "pairs_unfinished": sum(g.vote.timeouts for g in groups),
        "own_answer_agreement": sum(own) / len(own) if own else None,
    }


def _novelty(config: Config, questions: Sequence[str], earlier: Sequence[str]) -> dict[str, object]:
    """How far the questions asked are from those of earlier pools, by the measure of the repetition penalty."""
    if not questions or not earlier:
        return {"archive_nearest_mean": None, "archive_near_share": None}
    section = config.reward
    nearest = nearest_distances(questions, earlier, mask_numbers=section.mask_numbers)
    return {
        "archive_nearest_mean": float(nearest.mean()),
        "archive_near_share": float((nearest < section.bleu_threshold).mean()),
    }


def _rows(
    state: State,
    iteration: int,
    written: Sequence[Written],
    fates: Sequence[str],
    groups: Sequence[Group],
    passed: Sequence[Reason],
) -> list[dict[str, object]]:
    """One row per written text, in the order of writing."""
    out: list[dict[str, object]] = []
    voted = {group.task.id: (group, reason) for group, reason in zip(groups, passed, strict=True)}
    for n, (w, fate) in enumerate(zip(written, fates, strict=True)):
        group, reason = voted.get(w.task.id, (None, None)) if w.task else (None, None)
        described = state.world.describe(w.question) if w.task else {"steps": 0, "topic": ""}
        v = group.vote if group else None
        out.append(
            {
                "iteration": iteration,
                "task_id": w.task.id if w.task else f"p{iteration}-{n:04d}",
                "question": w.question or w.trajectory.text,
                "steps": described["steps"],
                "topic": described["topic"],
                "well_formed": w.task is not None,
                "duplicate": fate == "duplicate",
                "reserved": fate == "reserved",
                "proposed_answer": w.task.proposed_answer if w.task else None,
                "p_hat": v.p_hat if v else None,
                "label": v.answer if v else None,
                "counts": [{"answer": a, "votes": c} for a, c in v.counts] if v else [],
                "forms": [list(keys) for keys in v.forms] if v else [],
                "valid": v.valid if v else None,
                "k": v.k if v else None,
                "tied": v.tied if v else None,
                "kept": reason == "kept",
                "reason": _OUTSIDE.get(reason, reason) if reason else fate,
                "tool_calls": _mean_calls(group.trajectories) if group else None,
            }
        )
    return out


def _mean_calls(trajectories: Sequence[Trajectory]) -> float:
    return sum(len(t.tool_calls) for t in trajectories) / len(trajectories)
