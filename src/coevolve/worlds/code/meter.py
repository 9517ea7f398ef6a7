"""The meter's view of the world of programs: held-out tasks of each type, judged in a sandbox of its own."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import partial

from coevolve.config import EvaluationSection, SandboxSection
from coevolve.grading.grade import Kind
from coevolve.types import PROPOSER, Origin, Task
from coevolve.worlds.base import HELD_OUT, Problem, Suite
from coevolve.worlds.code.corpus import triplet_of
from coevolve.worlds.code.generator import examples
from coevolve.worlds.code.items import ABDUCTION, DEDUCTION, INDUCTION, KINDS, PAIRS, Triplet
from coevolve.worlds.code.judging import Verdict, Work, judge
from coevolve.worlds.code.running import Runner

_CACHE = 65_536  # results of identical runs
_STEPS = (1, 2, 3)  # of the programs, in turn


class CodeMeter:
    """Implements ``coevolve.worlds.base.Meter``.

    Tasks that a policy proposes are labelled by running them, so there is nothing that a meter could know better.

    Args:
        sandbox: where programs run.
    """

    knows_labels = knows_all_labels = False

    def __init__(self, sandbox: SandboxSection) -> None:
        self._runner = Runner(sandbox, _CACHE)

    def truth(self, task: Task) -> str | None:
        """None: nothing is known of a proposed task."""

    def suites(self, section: EvaluationSection, seed: int) -> tuple[Suite, ...]:
        """A suite for each type of task, of ``evaluation.per_level`` problems."""
        n, samples = section.per_level, section.samples
        return tuple(
            Suite(HELD_OUT, kind, n, samples, partial(self._load, kind, n, seed), greedy=True, is_level=True)
            for kind in KINDS
        )

    def _load(self, kind: str, n: int, seed: int) -> Sequence[Problem]:
        return [self._problem(triplet) for triplet in held_out(kind, n, seed)]

    def _problem(self, triplet: Triplet) -> Problem:
        """A held-out task; where more than one answer is right, its truth is one of them."""
        proposal = triplet.proposal
        truth = {DEDUCTION: triplet.outputs[0], ABDUCTION: proposal.inputs[0], INDUCTION: proposal.program}
        digest = hashlib.sha256(proposal.written.encode()).hexdigest()[:12]
        task = triplet.task(f"{proposal.kind}-{digest}", Origin("world", PROPOSER, 0))
        return Problem(task, truth[proposal.kind], Kind.EXACT, scorer=partial(self._is_right, triplet))

    def _is_right(self, triplet: Triplet, answer: str) -> bool:
        (verdict,) = judge(self._runner, [Work(triplet.proposal, triplet.outputs, answer)])
        return verdict is Verdict.RIGHT


def held_out(kind: str, n: int, seed: int) -> list[Triplet]:
    """``n`` different reserved tasks of a type, of programs of one, two and three steps in turn."""
    rng = random.Random(f"held-out {kind} {seed}")
    inputs = PAIRS if kind == INDUCTION else 1
    sources = [examples(rng, reserved=True, inputs=inputs, steps=steps) for steps in _STEPS]
    found: dict[object, Triplet] = {}
    while len(found) < n:
        triplet = triplet_of(kind, next(sources[len(found) % len(sources)]))
        found.setdefault(triplet.proposal.key, triplet)
    return list(found.values())
