"""Phase 2 of Agent0: the frozen curriculum agent writes a pool, the executor votes, the gate keeps the frontier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coevolve.config import at_iteration
from coevolve.curriculum.archive import Archive
from coevolve.curriculum.checks import Known
from coevolve.curriculum.gate import Gate, gate
from coevolve.curriculum.voting import agrees
from coevolve.methods.base import Labeller, Store
from coevolve.methods.checking import check_facts, passed_checks, what_is_known
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.config import CoevolutionState as State
from coevolve.methods.labels import verified_label
from coevolve.methods.metrics import refused_facts
from coevolve.methods.own import GateRule, gate_rule
from coevolve.methods.phases.pool_report import (
    POOL,
    asked_facts,
    novelty_facts,
    pool_facts,
    pool_report,
    sampling_facts,
)
from coevolve.methods.phases.pool_tasks import Pool, read_tasks, table_of, task_rows
from coevolve.methods.polling import poll, pooled, voters
from coevolve.methods.probe import freeze_probe
from coevolve.methods.questions import Written, read_questions, refusal_of, task_of
from coevolve.methods.reporting import IDS, Labels, PhaseCost
from coevolve.rollout.asking import subjects, write
from coevolve.rollout.seeds import seed_of
from coevolve.types import PROPOSER, Group, LabelledTask


class FillPool:
    """Write, drop what may not be trained on, vote, label, gate. One pass."""

    by_steps = False
    steps = 1

    def __init__(self, config: CoevolutionConfig, iteration: int, labels: Labels = IDS) -> None:
        self.iteration = iteration
        self.report = pool_report(labels)

    def cost(self, config: CoevolutionConfig) -> PhaseCost:
        """Every text may become a question, which every voter answers."""
        size = config.pool.size
        prompts = size * len(voters(config.pool.voters, self.iteration, trained=config.solver.train))
        answers = prompts * config.pool.votes
        return PhaseCost(
            size, answers, prompts, stored=answers, turns=round(answers * config.dialogue.turns_on_average)
        )

    def run(self, state: State) -> list[Path]:
        """Leaves ``tasks/iteration-t.parquet``, one row per written text, and the current executor's trajectories."""
        config, t = state.config, self.iteration
        seed = seed_of(config.seed, "pool", t)
        agent, last = (PROPOSER, t) if config.proposer.train else (PROPOSER, 0)
        size = config.pool.size
        asked = subjects(state.world.contract, size, seed=seed)
        policy = state.checkpoints.weights(agent, last)
        bans = [config.proposer.ban(seed_of(seed, "banned", n // config.proposer.questions)) for n in range(size)]
        texts = write(state.rollouts, policy, size, seed=seed, context=asked, use="pool", bans=bans)
        written = read_questions(
            state.world,
            texts,
            config.origin(t),
            f"p{t}",
            turns=config.dialogue.turns,
            own_answer=config.proposer.own_answer,
            asked=asked,
        )
        earlier = earlier_questions(state.store, t)
        fates = _fates(state, written, Archive(earlier))
        tasks = [w.task for w, fate in zip(written, fates, strict=True) if w.task is not None and fate == "asked"]
        by_voter = poll(state, tasks, t)
        with state.spent.grading():
            groups = [Group(task, by_voter[0][n], pooled(state, by_voter, n)) for n, task in enumerate(tasks)]
            known = what_is_known(state, groups)
            gated = _gated(state, groups, known, t)
            given = {x.task.id: state.labeller(x.task) for x in gated.kept} if state.labeller else {}
            pool = Pool(t, written, fates, groups, known, gated, given)
        passed = passed_checks(known, gated.fates, config.gate.limits())
        facts = pool_facts(pool, state.world, state.judge) | check_facts(known, passed, config.gate.limits())
        facts |= novelty_facts([task.question for task in tasks], earlier, config.reward) | sampling_facts(pool)
        facts |= asked_facts(pool)
        facts |= refused_facts([x for group in groups for x in group.trajectories], config.grading)
        state.observer.on_votes(POOL, t, groups, pool.kept, facts, table="tasks", passed=passed)
        tokens = sum(x.sampled for answers in by_voter for group in answers for x in group)
        state.progress.step(1, {"proposed": len(texts), "kept": len(pool.kept), "tokens": tokens})
        files = [state.store.write_table(table_of(t), task_rows(pool, state.world))]
        return [*files, *freeze_probe(state, tasks, by_voter[0])] if t == 1 and config.has_probe else files


def _gated(state: State, groups: Sequence[Group], known: Sequence[Known], iteration: int) -> Gate:
    section = state.config.gate
    limits, by_id = section.limits(), {group.task.id: one for group, one in zip(groups, known, strict=True)}

    def verified(group: Group) -> bool:
        found = verified_label(group.task, group.trajectories, judge=state.judge, refusal=refusal_of(state.world))
        return found is not None and agrees(found.label, group.vote, judge=state.judge)

    return gate(
        groups,
        *section.bounds(iteration),
        enabled=section.enabled,
        margin=at_iteration(section.margin, iteration),
        verified=verified if section.verified else None,
        failed=(lambda group: by_id[group.task.id].first_failed(limits)) if limits.asked else None,
        rule=_last_word(state.labeller, gate_rule(section)),
        ties=section.ties,
    )


def _last_word(labeller: Labeller | None, own: GateRule | None) -> GateRule | None:
    """The rule of one's own, and with a labeller: a task that it has no label for is not kept."""
    if labeller is None:
        return own
    return lambda group: labeller(group.task) is not None and (own is None or own(group))


def earlier_questions(store: Store, iteration: int) -> list[str]:
    """Every well-formed question that the pools before this iteration held."""
    return [row.question for t in range(1, iteration) for row in read_tasks(store, t) if row.well_formed]


def kept_tasks(state: State, iteration: int) -> list[LabelledTask]:
    """The tasks that the gate kept, with their frozen labels, as the pool phase wrote them down."""
    origin, turns = state.config.origin(iteration), state.config.dialogue.turns
    return [
        LabelledTask(
            task_of(state.world, origin, row.task_id, row.question, turns),
            row.label,
            row.p_hat,
            tuple((str(entry["answer"]), int(entry["votes"])) for entry in row.counts),
        )
        for row in read_tasks(state.store, iteration)
        if row.kept and row.label is not None and row.p_hat is not None
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
