"""Phase 2 of Socratic-Zero: the solver learns from pairs of a right and a wrong answer, by DPO."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from coevolve.config import at_iteration
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.learning.guard import warmup_lr
from coevolve.learning.rows import text_row
from coevolve.methods.base import open_policy, train_steps
from coevolve.methods.phases.curriculum_tables import Judged, read_entries, read_judged
from coevolve.methods.phases.socratic_reports import (
    PREFERENCES,
    SKIPPED,
    preference_facts,
    preference_report,
)
from coevolve.methods.phases.train_solver import index_batches
from coevolve.methods.reporting import Labels, PhaseCost
from coevolve.methods.socratic_config import PreferenceSection, SocraticState
from coevolve.rollout.codec import Codec
from coevolve.rollout.policy import Policy
from coevolve.rollout.seeds import seed_of
from coevolve.types import SOLVER, Batch, TrainRow

# What a tool printed in a worked solution, with the closing fence: it is read, never trained on.
_PRINTED = re.compile(r"((?<=```output\n).*?\n```\n?)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Lessons:
    """Answers as rows, each once, and the pairs (preferred, other) among them."""

    rows: Sequence[TrainRow]
    pairs: Sequence[tuple[int, int]]
    questions: int  # that have a pair
    references: int  # of them those whose preferred answer is the teacher's solution


class TrainPreferences:
    """Some steps of: take pairs of right and wrong answers to one question, update. The reference is the start."""

    by_steps = True

    def __init__(self, section: PreferenceSection, iteration: int, labels: Labels) -> None:
        self.iteration, self._section = iteration, section
        self.report = preference_report(labels)
        self.steps = at_iteration(section.steps, iteration)
        self._label = labels[SOLVER]

    def cost(self, config: Any) -> PhaseCost:
        """Both answers of every pair are trained on, at most."""
        return PhaseCost(answers_trained=2 * self.steps * self._section.pairs, checkpoint_copies=1)

    def run(self, state: SocraticState) -> list[Path]:
        """Train from the last iteration's solver with a new optimiser, and save the weights."""
        t = self.iteration
        policy = open_policy(state, SOLVER, t, self._section, resume=False, reference=None)
        lessons = self._lessons(state)
        if lessons.pairs:
            # Before any step, also where steps are finished already: these are last round's weights.
            known = policy.logprobs(lessons.rows)
            rows = [replace(row, old_logp=logp) for row, logp in zip(lessons.rows, known, strict=True)]
            seed = seed_of(state.config.seed, PREFERENCES, t)
            parts = list(islice(index_batches(len(lessons.pairs), self._section.pairs, seed), self.steps))
            train_steps(
                state,
                policy,
                self.steps,
                lambda step: self._step(state, policy, replace(lessons, rows=rows), parts[step], step),
            )
        else:
            state.progress.note(f"no question has a right and a wrong answer: the {self._label} stays as it was")
            state.store.log({"event": SKIPPED, "iteration": t, "reason": "no question has a right and a wrong answer"})
        folder = f"checkpoints/iteration-{t}/{SOLVER}"
        return [state.store.save_folder(folder, lambda path: policy.save(path, optimizer=False))]

    def _step(self, state: SocraticState, policy: Policy, lessons: Lessons, part: Sequence[int], step: int) -> None:
        section, pairs = self._section, [lessons.pairs[i] for i in part]
        used = sorted({row for pair in pairs for row in pair})
        place = {row: n for n, row in enumerate(used)}
        batch = Batch(
            tuple(lessons.rows[i] for i in used),
            objective="preference",
            pairs=tuple((place[w], place[x]) for w, x in pairs),
            beta=section.beta,
        )
        (stats,) = policy.update([batch], [warmup_lr(step, section.lr, section.warmup)])
        facts = preference_facts(self.iteration, step + 1, self.steps, stats)
        facts |= {"questions": lessons.questions, "references": lessons.references, "all_pairs": len(lessons.pairs)}
        state.store.log(facts)
        state.progress.step(step + 1, {"loss": facts["loss"], "preferred": facts["preferred"]})

    def _lessons(self, state: SocraticState) -> Lessons:
        """The pairs of each question: all of its right answers with all of its wrong ones."""
        entries = {x.task_id: x for x in read_entries(state.store, self.iteration)}
        world = state.world
        codec, ends = Codec(world.base_model()), read_vocabulary(world.base_model()).ends
        rows: list[TrainRow] = []
        pairs: list[tuple[int, int]] = []
        questions = references = 0
        for task_id, group in groupby(read_judged(state.store, self.iteration), key=lambda x: x.task_id):
            answers = list(group)
            right, wrong = ([x for x in answers if x.right is way] for way in (True, False))
            preferred = [_row(x) for x in right]
            if not right and wrong and self._section.references:
                preferred = [solution_row(codec, wrong[0].prompt, entries[task_id].solution, min(ends))]
            if not preferred or not wrong:
                continue
            questions, references = questions + 1, references + (not right)
            first, second = len(rows), len(rows) + len(preferred)
            rows += [*preferred, *map(_row, wrong)]
            pairs += [(w, x) for w in range(first, second) for x in range(second, len(rows))]
        return Lessons(rows, pairs, questions, references)


def solution_row(codec: Codec, prompt: Sequence[int], solution: str, end: int) -> TrainRow:
    """A worked solution as an answer: what a tool printed in it is not trained on, and it ends its turn.

    Args:
        codec: of the model.
        prompt: token ids of the question as the solver was asked it.
        solution: the teacher's text.
        end: the token that ends a turn.
    """
    pieces = [(codec.encode_printed(text), not printed) for printed, text in _pieces(solution)]
    tokens = np.concatenate([*(ids for ids, _ in pieces), np.array([end], np.int32)])
    mask = np.concatenate([*(np.full(len(ids), own) for ids, own in pieces), np.array([True])])
    return text_row(np.array(prompt, np.int32), tokens, mask)


def _pieces(solution: str) -> list[tuple[bool, str]]:
    """The parts of a solution in order, each with whether a tool printed it."""
    return [(n % 2 == 1, text) for n, text in enumerate(_PRINTED.split(solution)) if text]


def _row(answer: Judged) -> TrainRow:
    prompt, tokens = (np.array(ids, np.int32) for ids in (answer.prompt, answer.tokens))
    return text_row(prompt, tokens, np.array(answer.mask, np.bool_))
