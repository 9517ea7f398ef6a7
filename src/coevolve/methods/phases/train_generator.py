"""Phase 3 of Socratic-Zero: the generator learns to write what the teacher wrote, weighted by utility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from coevolve.config import at_iteration
from coevolve.curriculum.utility import gaussian_utility
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.learning.guard import warmup_lr
from coevolve.learning.rows import text_row
from coevolve.methods.base import open_policy, train_steps
from coevolve.methods.phases.curriculum_tables import Entry, failure_context, read_entries
from coevolve.methods.phases.socratic_reports import (
    GENERATED,
    GENERATOR_SKIPPED,
    generated_facts,
    generator_facts,
    generator_report,
)
from coevolve.methods.phases.train_solver import index_batches
from coevolve.methods.questions import read_questions
from coevolve.methods.reporting import Labels, PhaseCost
from coevolve.methods.socratic_config import GeneratorSection, SocraticState
from coevolve.rollout.asking import write
from coevolve.rollout.codec import Codec
from coevolve.rollout.policy import Policy
from coevolve.rollout.seeds import seed_of
from coevolve.types import GENERATOR, PROPOSER, Batch, Bools, Ints, Origin
from coevolve.worlds.base import Contract, PromptContext

_CLOSE = "</question>"


@dataclass(frozen=True, slots=True)
class Example:
    """A problem of the teacher behind the failure that it was written from, and what it is worth."""

    prompt: Ints  # [P]
    tokens: Ints  # [T]
    utility: float

    @property
    def mask(self) -> Bools:
        """[T]: all of it is trained on."""
        return np.ones(len(self.tokens), np.bool_)


class TrainGenerator:
    """Some steps of supervised training on the problems that the teacher wrote in this round."""

    by_steps = True

    def __init__(self, section: GeneratorSection, iteration: int, labels: Labels) -> None:
        self.iteration, self._section = iteration, section
        self.report = generator_report(labels)
        self.steps = at_iteration(section.steps, iteration)
        self._label = labels[GENERATOR]

    def cost(self, config: Any) -> PhaseCost:
        """Every problem of a step is trained on; some are written at the end."""
        section = self._section
        trained = self.steps * section.problems
        return PhaseCost(questions=section.check, questions_trained=trained, checkpoint_copies=1)

    def run(self, state: SocraticState) -> list[Path]:
        """Train from the last iteration's generator with a new optimiser, see what it writes, and save the weights."""
        t, seed = self.iteration, state.config.seed
        policy = open_policy(state, GENERATOR, t, self._section, resume=False, reference=None)
        entries = read_entries(state.store, t)
        by_id = {x.task_id: x for x in entries}
        new = [x for x in entries if x.round == t and x.success is not None]
        codec = Codec(state.world.base_model())
        shown = [failure_context(by_id[x.parent or ""].question, codec.quoted(x.failed)) for x in new]
        if new:
            examples = self._examples(state, codec, new, shown)
            batches = index_batches(len(examples), self._section.problems, seed_of(seed, GENERATOR, t))
            parts = [[examples[i] for i in part] for part in islice(batches, self.steps)]
            train_steps(state, policy, self.steps, lambda step: self._step(state, policy, parts[step], step))
            self._look(state, policy, shown)
        else:
            state.progress.note(f"the teacher wrote no new problem: the {self._label} stays as it was")
            state.store.log({"event": GENERATOR_SKIPPED, "iteration": t, "reason": "the teacher wrote no new problem"})
        folder = f"checkpoints/iteration-{t}/{GENERATOR}"
        return [state.store.save_folder(folder, lambda path: policy.save(path, optimizer=False))]

    def _examples(
        self, state: SocraticState, codec: Codec, new: Sequence[Entry], shown: Sequence[PromptContext]
    ) -> list[Example]:
        contract, section = state.world.contract, self._section
        ends = read_vocabulary(state.world.base_model()).ends
        worth = gaussian_utility([x.success or 0.0 for x in new], peak=section.peak, width=section.width)
        return [
            Example(
                codec.encode(contract.prompt(PROPOSER, context)), _target(codec, contract, entry, min(ends)), float(u)
            )
            for entry, context, u in zip(new, shown, worth, strict=True)
        ]

    def _step(self, state: SocraticState, policy: Policy, part: Sequence[Example], step: int) -> None:
        section = self._section
        tokens = sum(len(x.tokens) for x in part)
        rows = [text_row(x.prompt, x.tokens, x.mask, weight=1.0 / tokens, worth=x.utility) for x in part]
        (stats,) = policy.update(
            [Batch(tuple(rows), objective="likelihood")], [warmup_lr(step, section.lr, section.warmup)]
        )
        utility = float(np.mean([x.utility for x in part]))
        facts = generator_facts(self.iteration, step + 1, self.steps, stats, utility)
        state.store.log(facts)
        state.progress.step(step + 1, {"loss": facts["loss"], "utility": utility})

    def _look(self, state: SocraticState, policy: Policy, shown: Sequence[PromptContext]) -> None:
        """How many of the problems that it writes from this round's failures are well-formed and new."""
        t, count = self.iteration, self._section.check
        if not count:
            return
        contexts = [shown[n % len(shown)] for n in range(count)]
        seed = seed_of(state.config.seed, GENERATED, t)
        texts = write(state.rollouts, policy.weights(), count, seed=seed, context=contexts)
        state.rollouts.release_memory()
        origin = Origin(state.config.method, GENERATOR, t)
        written = read_questions(state.world, texts, origin, f"g{t}", asked=contexts)
        known = {x.question for x in read_entries(state.store, t)}
        state.store.log(generated_facts(t, written, known))


def _target(codec: Codec, contract: Contract, entry: Entry, end: int) -> Ints:
    """The problem as a proposer's text: up to its closing tag or, where texts go on to their own answer, with that."""
    if _CLOSE in contract.stops(PROPOSER):
        return codec.encode(entry.question + _CLOSE)
    text = codec.encode(f"{entry.question}{_CLOSE}\n\\boxed{{{entry.answer}}}")
    return np.concatenate([text, np.array([end], np.int32)])
