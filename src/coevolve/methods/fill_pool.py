"""Phase 2 of Agent0: the frozen curriculum agent writes a pool, the executor votes, the gate keeps the frontier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coevolve.config import Config, at_iteration
from coevolve.curriculum.archive import Archive
from coevolve.curriculum.gate import gate
from coevolve.curriculum.near_pairs import nearest_distances
from coevolve.curriculum.voting import agrees, pool_votes, vote_entropy
from coevolve.methods.base import State, Store
from coevolve.methods.metrics import sampled_entropy
from coevolve.methods.probe import freeze_probe
from coevolve.methods.questions import Written, answers_of, read_questions
from coevolve.rollout.seeds import seed_of
from coevolve.types import Group, LabelledTask, Origin, Role, Task, Trajectory


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
        role, last = (Role.PROPOSER, t) if config.curriculum.train else (Role.PROPOSER, 0)
        texts = state.rollouts.write(state.checkpoints.weights(role, last), config.pool.size, seed=seed)
        written = read_questions(state.world, texts, config, iteration=t, prefix=f"p{t}")
        earlier = earlier_questions(state.store, t)
        fates = _fates(state, written, Archive(earlier))
        tasks = [w.task for w, fate in zip(written, fates, strict=True) if w.task is not None and fate == "asked"]
        by_voter = [
            state.rollouts.solve(
                state.checkpoints.weights(Role.SOLVER, i), tasks, config.pool.votes, seed=seed_of(seed, "votes", i)
            )
            for i in voters(config, t)
        ]
        counted = config.pool.count_missing
        with state.spent.grading():
            groups = [
                Group(
                    task,
                    by_voter[0][n],
                    pool_votes([answers_of(x[n], count_missing=counted) for x in by_voter], judge=state.judge),
                )
                for n, task in enumerate(tasks)
            ]
            section = config.gate
            lower, upper = at_iteration(section.lower, t), at_iteration(section.upper, t)
            passed = gate(groups, lower, upper, enabled=section.enabled)
        kept = {g.task.id for g in passed.kept}
        facts = _facts(state, t, written, fates, groups, kept, {str(k): n for k, n in passed.reasons.items()})
        facts |= _novelty(config, [task.question for task in tasks], earlier)
        answers = [x for group in by_voter[0] for x in group]
        facts |= {"proposer_entropy": sampled_entropy(texts), "solver_entropy": sampled_entropy(answers)}
        state.listener.on_pool(t, groups, sorted(kept), facts)
        tokens = sum(x.sampled for answers in by_voter for group in answers for x in group)
        state.progress.step(1, {"written": len(texts), "kept": len(kept), "tokens": tokens})
        rows = _rows(state, t, written, fates, {g.task.id: g for g in groups}, kept)
        files = [state.store.write_table(f"tasks/iteration-{t}.parquet", rows)]
        has_probe = t == 1 and config.executor.train and config.health.probe > 0
        return [*files, *freeze_probe(state, tasks, by_voter[0])] if has_probe else files


def voters(config: Config, iteration: int) -> list[int]:
    """Iterations of the executors that vote, the current one first; equal ones count once."""
    newest = iteration - 1 if config.executor.train else 0
    at = {"current": newest, "previous": max(newest - 1, 0), "base": 0}
    named = [at[v] for v in config.pool.voters]
    return sorted(set(named), key=lambda i: -i)


def earlier_questions(store: Store, iteration: int) -> list[str]:
    """Every well-formed question that the pools before this iteration held."""
    return [
        str(row["question"])
        for t in range(1, iteration)
        for row in store.read_table(f"tasks/iteration-{t}.parquet")
        if row["well_formed"]
    ]


def kept_tasks(store: Store, method: str, iteration: int) -> list[LabelledTask]:
    """The tasks that the gate kept, with their frozen labels, as the pool phase wrote them down."""
    return [
        LabelledTask(
            Task(str(row["task_id"]), (str(row["question"]),), "chain", Origin(method, Role.PROPOSER, iteration)),
            str(row["label"]),
            float(str(row["p_hat"])),
        )
        for row in store.read_table(f"tasks/iteration-{iteration}.parquet")
        if row["kept"]
    ]


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
    groups: dict[str, Group],
    kept: set[str],
) -> list[dict[str, object]]:
    """One row per written text, in the order of writing."""
    out: list[dict[str, object]] = []
    for n, (w, fate) in enumerate(zip(written, fates, strict=True)):
        group = groups.get(w.task.id) if w.task else None
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
                "kept": bool(group and group.task.id in kept),
                "reason": _reason(fate, group, kept),
                "tool_calls": _mean_calls(group.trajectories) if group else None,
            }
        )
    return out


def _reason(fate: str, group: Group | None, kept: set[str]) -> str:
    if group is None:
        return fate
    return "kept" if group.task.id in kept else "no_answer" if group.vote.answer is None else "outside the gate"


def _mean_calls(trajectories: Sequence[Trajectory]) -> float:
    return sum(len(t.tool_calls) for t in trajectories) / len(trajectories)
