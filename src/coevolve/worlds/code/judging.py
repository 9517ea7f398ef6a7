"""Whether answers are right. A deduced output is compared as a literal; for the other types the sandbox says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from coevolve.worlds.code.items import ABDUCTION, DEDUCTION, SHOWN_PAIRS, Proposal, Triplet
from coevolve.worlds.code.language import canonical_input, canonical_literal, canonical_program
from coevolve.worlds.code.running import Outputs, Run, Runner


class Verdict(StrEnum):
    """What an answer is worth."""

    RIGHT = "right"
    WRONG = "wrong"
    ILL_FORMED = "ill_formed"  # there is none, or it is no literal, no input or no program


@dataclass(frozen=True, slots=True)
class Work:
    """An answer to a task.

    Args:
        proposal: of the task.
        outputs: what its program gives for its inputs.
        answer: None where there is none.
    """

    proposal: Proposal
    outputs: tuple[str, ...]
    answer: str | None


def judge(runner: Runner, works: Sequence[Work]) -> list[Verdict]:
    """The verdict on each answer; equal ones to equal tasks run once.

    Source: Absolute Zero (arXiv 2505.03335), section 3.3: deduction and abduction by the equality of values (an input
    is right if it gives the output, whatever the proposer's input was), induction by all hidden pairs.

    Raises:
        SandboxUnavailable, SandboxInfraError: as of :meth:`coevolve.worlds.code.running.Runner.outputs`.
    """
    needed = [_run_of(work) for work in works]
    runs = list(dict.fromkeys(run for run in needed if isinstance(run, tuple)))
    given = dict(zip(runs, runner.outputs(runs), strict=True))
    return [
        run if isinstance(run, Verdict) else _compared(work, given[run])
        for work, run in zip(works, needed, strict=True)
    ]


def validated(runner: Runner, proposals: Sequence[Proposal]) -> list[Triplet | None]:
    """The proposals with their outputs; None where a program fails, prints, or gives no literal, or not always the
    same."""
    found = runner.deterministic_outputs([(one.program, one.inputs) for one in proposals])
    triplets: list[Triplet | None] = []
    for proposal, outputs in zip(proposals, found, strict=True):
        known = tuple(output for output in outputs if output is not None)
        triplets.append(Triplet(proposal, known) if len(known) == len(outputs) else None)
    return triplets


def _run_of(work: Work) -> Run | Verdict:
    """What has to run to judge an answer, or the verdict where nothing has to."""
    if work.answer is None:
        return Verdict.ILL_FORMED
    if work.proposal.kind == DEDUCTION:
        literal = canonical_literal(work.answer)
        if literal is None:
            return Verdict.ILL_FORMED
        return Verdict.RIGHT if literal == work.outputs[0] else Verdict.WRONG
    if work.proposal.kind == ABDUCTION:
        given = canonical_input(work.answer)
        return Verdict.ILL_FORMED if given is None else (work.proposal.program, (given,))
    try:
        return canonical_program(work.answer), work.proposal.inputs[SHOWN_PAIRS:]
    except ValueError:
        return Verdict.ILL_FORMED


def _compared(work: Work, given: Outputs) -> Verdict:
    wanted = work.outputs if work.proposal.kind == ABDUCTION else work.outputs[SHOWN_PAIRS:]
    return Verdict.RIGHT if given == wanted else Verdict.WRONG
