"""Phase 1 of Socratic-Zero: the solver answers, the teacher judges and writes new problems from failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from coevolve.errors import TeacherError
from coevolve.methods.phases.curriculum_tables import Entry, Judged, read_entries, write_tables
from coevolve.methods.phases.socratic_reports import REFERENCES, TEACHING, curriculum_facts, curriculum_report
from coevolve.methods.reporting import Labels, PhaseCost
from coevolve.methods.socratic_config import CurriculumSection, SocraticState
from coevolve.rollout.asking import solve
from coevolve.rollout.seeds import seed_of
from coevolve.teacher.asking import Teacher
from coevolve.teacher.protocol import Posed, Refusal, Seed, Variation, Verdict
from coevolve.types import SOLVER, LabelledTask, Trajectory
from coevolve.worlds.base import World

_SEEDS = 1 << 31  # of requests to a teacher


@dataclass(frozen=True, slots=True)
class Round:
    """The answers to some questions of the curriculum, and what the teacher says of each.

    Args:
        entries: with the success rate of these answers.
        answers, right: by question; an answer that the sandbox lost is wrong and counts nowhere.
        unread: verdicts that could not be read: those answers count as wrong.
    """

    entries: Sequence[Entry]
    answers: Sequence[tuple[Trajectory, ...]]
    right: Sequence[tuple[bool, ...]]
    unread: int


class GrowCurriculum:
    """Ask, judge, and let the teacher write from failures. One pass."""

    by_steps = False
    steps = 1

    def __init__(self, section: CurriculumSection, iteration: int, labels: Labels) -> None:
        self.iteration, self._section = iteration, section
        self.report = curriculum_report(labels)

    def cost(self, config: Any) -> PhaseCost:
        """Every question of the curriculum, which grows as fast as it may, and the new ones once."""
        section = self._section
        older = section.seeds + section.new * max(self.iteration - 2, 0)
        newest = section.new if self.iteration > 1 else 0
        prompts = round(older * (section.replay if self.iteration > 1 else 1.0)) + newest + section.new
        return PhaseCost(answers=prompts * section.answers, prompts=prompts)

    def run(self, state: SocraticState) -> list[Path]:
        """Leaves the curriculum after this round, and the judged answers that the solver learns from."""
        t, config = self.iteration, state.config
        teacher = _require(state.teacher)
        known = read_entries(state.store, t - 1) if t > 1 else _seeds(state, teacher)
        asked = self._asked(known, seed_of(config.seed, TEACHING, t, "replay"))
        first = self._play(state, teacher, asked, "answers")
        posed = self._posed(state, teacher, first, known)
        new = [x for x in posed if isinstance(x, Entry)]
        second = self._play(state, teacher, new, "new")
        now = {x.task_id: x for x in (*first.entries, *second.entries)}
        entries = [now.get(x.task_id, x) for x in (*known, *new)]
        judged = [Judged.of(x, ok) for group, right in _heard(first) for x, ok in zip(group, right, strict=True)]
        refused = Counter(str(x) for x in posed if isinstance(x, Refusal))
        facts = curriculum_facts(t, first.entries, second.entries, len(entries), refused, first.unread + second.unread)
        spent = teacher.spent(t)
        facts |= {"tokens_sampled": sum(x.sampled for r in (first, second) for group in r.answers for x in group)}
        facts |= {"teacher_requests": spent.requests, "teacher_read": spent.read, "teacher_written": spent.written}
        facts |= {"teacher_tokens": spent.read + spent.written, "teacher_usd": teacher.prices.cost(spent)}
        labelled = [LabelledTask(x.task(config.method), x.answer, x.success or 0.0) for x in first.entries]
        state.observer.on_answers(TEACHING, t, list(zip(labelled, first.answers, strict=True)), facts)
        latest = [x for x in entries if x.round == t or (t == 1 and x.round == 0)]
        checked = [LabelledTask(x.task(config.method), x.answer, 0.0) for x in latest]
        state.observer.on_labels(checked, {"event": REFERENCES, "iteration": t, "written": len(latest)})
        state.progress.step(1, {"success": facts["success"], "new": len(new), "questions": len(entries)})
        return write_tables(state.store, t, entries, judged)

    def _asked(self, known: Sequence[Entry], seed: int) -> list[Entry]:
        """The newest questions, and a share of the older ones, in the order of the curriculum."""
        newest = max(x.round for x in known)
        older = [x.task_id for x in known if x.round < newest]
        count = round(self._section.replay * len(older))
        again = {older[i] for i in np.random.default_rng(seed).permutation(len(older))[:count]}
        return [x for x in known if x.round == newest or x.task_id in again]

    def _play(self, state: SocraticState, teacher: Teacher, entries: Sequence[Entry], what: str) -> Round:
        """Answers of the last round's solver and the teacher's verdicts on them."""
        t, config = self.iteration, state.config
        policy = state.checkpoints.weights(SOLVER, t - 1)
        tasks = [x.task(config.method) for x in entries]
        seed = seed_of(config.seed, TEACHING, t, what)
        answers = solve(state.rollouts, policy, tasks, self._section.answers, seed=seed) if tasks else []
        asks = {
            (entry.task_id, x.answer): Verdict(entry.question, entry.answer, x.answer)
            for entry, group in zip(entries, answers, strict=True)
            for x in group
            if x.answer is not None
        }
        verdicts = dict(zip(asks, teacher.verdicts(list(asks.values()), t), strict=True))
        right = [tuple(verdicts.get((x.task_id, x.answer or "")) is True for x in group) for group in answers]
        rated = [
            replace(entry, success=_share(group, ok), asked=t)
            for entry, group, ok in zip(entries, answers, right, strict=True)
        ]
        return Round(rated, answers, right, sum(isinstance(x, Refusal) for x in verdicts.values()))

    def _posed(
        self, state: SocraticState, teacher: Teacher, first: Round, known: Sequence[Entry]
    ) -> list[Entry | Refusal]:
        """What the teacher makes of the failures that it is shown: one of each failed question, then more of them.

        A failure without any text shows no error, and is left out.
        """
        t, seed = self.iteration, state.config.seed
        failures = [
            [(entry, x) for x, ok in zip(group, right, strict=True) if not ok and x.text.strip() and not x.lost]
            for entry, group, right in zip(first.entries, first.answers, first.right, strict=True)
        ]
        turns = [f[n] for n in range(self._section.answers) for f in failures if n < len(f)]
        order = np.random.default_rng(seed_of(seed, TEACHING, t, "failures")).permutation(len(turns))
        chosen = [turns[i] for i in sorted(order, key=lambda i: turns[i][1].sample)][: self._section.new]
        asks = [
            Variation(entry.question, x.text, seed_of(seed, TEACHING, t, "variation", n) % _SEEDS)
            for n, (entry, x) in enumerate(chosen)
        ]
        replies = teacher.problems(asks, t)
        made = [
            reply
            if isinstance(reply, Refusal)
            else replace(_entry(f"t{t}-{n:04d}", reply), round=t, parent=entry.task_id, failed=x.text)
            for n, ((entry, x), reply) in enumerate(zip(chosen, replies, strict=True))
        ]
        return _usable(state.world, made, {x.question for x in known})


def _seeds(state: SocraticState, teacher: Teacher) -> list[Entry]:
    """The questions that the curriculum begins with.

    Raises:
        TeacherError: none of the teacher's problems can be used.
    """
    count, seed = state.config.curriculum.seeds, state.config.seed
    replies = teacher.problems([Seed(seed_of(seed, "seed problem", n) % _SEEDS) for n in range(count)], 1)
    made = [x if isinstance(x, Refusal) else _entry(f"s-{n:04d}", x) for n, x in enumerate(replies)]
    found = _usable(state.world, made, set())
    seeds = [x for x in found if isinstance(x, Entry)]
    if not seeds:
        raise TeacherError(
            f"none of the {count} problems of the teacher can be used: {found[0]}",
            where="teacher",
            fix="another teacher.model",
        )
    if len(seeds) < count:
        state.progress.note(f"{count - len(seeds)} of {count} seed problems of the teacher cannot be used")
    return seeds


def _usable(world: World, made: Sequence[Entry | Refusal], known: set[str]) -> list[Entry | Refusal]:
    """Problems that are well-formed, new, and none that is measured; else why they are refused."""
    out: list[Entry | Refusal] = []
    for x in made:
        if isinstance(x, Refusal):
            out.append(x)
        elif not world.is_well_formed(x.question):
            out.append(Refusal("its problem is malformed"))
        elif world.is_reserved(x.question):
            out.append(Refusal("its problem is reserved for measuring"))
        elif x.question in known:
            out.append(Refusal("its problem is known"))
        else:
            known.add(x.question)
            out.append(x)
    return out


def _entry(task_id: str, posed: Posed) -> Entry:
    return Entry(task_id, posed.problem, posed.answer, posed.solution)


def _heard(round: Round) -> list[tuple[tuple[Trajectory, ...], tuple[bool, ...]]]:
    """The answers that the sandbox did not lose, by question, with their verdicts."""
    kept = [
        [(x, ok) for x, ok in zip(group, right, strict=True) if not x.lost]
        for group, right in zip(round.answers, round.right, strict=True)
    ]
    return [(tuple(x for x, _ in pairs), tuple(ok for _, ok in pairs)) for pairs in kept]


def _share(group: Sequence[Trajectory], right: Sequence[bool]) -> float | None:
    heard = [ok for x, ok in zip(group, right, strict=True) if not x.lost]
    return sum(heard) / len(heard) if heard else None


def _require(teacher: Teacher | None) -> Teacher:
    assert teacher is not None, "a run of this method has a teacher"
    return teacher
