"""What can be known of a question and its answers without a true answer, and the limits that a question must keep.

A divided vote is easiest had with a question that means nothing. These checks look at what else there is: the programs
that the solver ran and what they printed, the numbers in the question, solvers that call it unanswerable, and the
answer of the one who wrote it. None of them is in the papers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from coevolve.curriculum.programs import literals, shape
from coevolve.curriculum.quantities import share_used
from coevolve.curriculum.voting import agrees
from coevolve.grading.equivalence import OWN_RULES, Judge
from coevolve.types import Group, Trajectory
from coevolve.worlds.open.observation import NOTHING_PRINTED

Check = Literal["output", "programs", "numbers", "refusals", "own_answer"]
CHECKS: tuple[Check, ...] = get_args(Check)

_LONGEST_OUTPUT = 200  # characters of a line; a longer one is no answer
_SLACK = 1e-9
_COMMAND = re.compile(r"\\[A-Za-z]+|\\.")
_WORD = re.compile(r"[^\W_]+")
_LAST_NUMBER = re.compile(r"[-−]?(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?(?:/[0-9]+)?)(?=[^0-9]*\Z)")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a question must keep. The defaults ask for nothing."""

    output: bool = False  # the label is the majority of the last outputs of the programs behind it
    programs: int = 0  # least number of programs of different shape that lead to the label
    numbers: float = 0.0  # least share of the question's numbers that the programs use
    refusals: float = 1.0  # largest share of answers that call the question unanswerable
    own_answer: bool = False  # the writer's own answer is the label

    @property
    def asked(self) -> tuple[Check, ...]:
        """The checks that ask for something."""
        return tuple(check for check in CHECKS if getattr(self, check) != getattr(NO_LIMITS, check))

    def told(self) -> Limits:
        """These limits; where one asks for nothing, that which is told all the same."""
        return Limits(**{check: getattr(self if check in self.asked else REFERENCE, check) for check in CHECKS})


NO_LIMITS = Limits()
REFERENCE = Limits(output=True, programs=2, numbers=1.0, refusals=0.0, own_answer=True)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a question that was answered.

    A program here is the last one of an answer that worked and printed something; with a session all that it ran. Only
    answers that voted for the label count, save for ``refusals``.
    """

    outputs: int  # answers with such a program
    supported: int  # those of them whose program last printed what they answered
    programs: int  # shapes among these programs
    shape: str | None  # the most frequent of them, the first in the alphabet among equally frequent ones
    numbers: float | None  # mean share of the question's numbers in these programs; None where it has no numbers
    refusals: float  # share of all answers that call the question unanswerable
    own_answer: bool | None  # whether the writer's own answer is the label; None where it gave none

    @property
    def contradicted(self) -> bool:
        """Most of the programs behind the label printed something else."""
        return self.outputs > 0 and 2 * self.supported <= self.outputs

    def keeps(self, limits: Limits) -> Mapping[Check, bool]:
        """Which limits are kept. A limit that asks for nothing always is."""
        return {
            "output": not limits.output or 2 * self.supported > self.outputs,
            "programs": self.programs >= limits.programs,
            "numbers": self.numbers is None or self.numbers >= limits.numbers - _SLACK,
            "refusals": self.refusals <= limits.refusals + _SLACK,
            "own_answer": not limits.own_answer or bool(self.own_answer),
        }

    def first_failed(self, limits: Limits) -> Check | None:
        """The first check whose limit is not kept; None where all are."""
        return next((check for check, kept in self.keeps(limits).items() if not kept), None)


def known_of(group: Group, *, judge: Judge = OWN_RULES, refusal: str = "", session: bool = False) -> Known:
    """What is known of a question, by the answers of a group and their vote.

    Args:
        group: answers that the sandbox lost are left out.
        judge: the one that made the vote.
        refusal: what an answer says that calls the question unanswerable; empty: none can.
        session: programs of one answer share their variables, so that only all together are one.
    """
    heard = [x for x in group.trajectories if not x.lost]
    behind = [x for x in heard if not refuses(x.answer, refusal) and agrees(x.answer, group.vote, judge=judge)]
    shown = [(x, output, program_of(x, session=session)) for x in behind if (output := last_output(x))]
    programs = [program for _, _, program in shown]
    shapes = Counter(map(shape, programs))
    most = min(shapes, key=lambda one: (-shapes[one], one)) if shapes else None
    return Known(
        outputs=len(shown),
        supported=sum(says(output, x.answer or "", judge=judge) for x, output, _ in shown),
        programs=len(shapes),
        shape=most,
        numbers=_numbers(group.task.question, programs),
        refusals=sum(refuses(x.answer, refusal) for x in heard) / max(len(heard), 1),
        own_answer=agrees(group.task.proposed_answer, group.vote, judge=judge) if group.task.proposed_answer else None,
    )


def program_of(trajectory: Trajectory, *, session: bool = False) -> str:
    """The program that an answer rests on: the last that worked and printed something; empty where there is none.

    Args:
        session: all programs up to it, of those that worked, since they share their variables.
    """
    worked = [call for call in trajectory.tool_calls if call.status == "ok"]
    while worked and not _last_line(worked[-1].observation):
        worked.pop()
    return "\n".join(call.code for call in (worked if session else worked[-1:]))


def last_output(trajectory: Trajectory) -> str:
    """The last line that the programs of an answer printed; empty where none that worked printed anything."""
    lines = (_last_line(call.observation) for call in reversed(trajectory.tool_calls) if call.status == "ok")
    return next((line for line in lines if line), "")


def says(output: str, answer: str, *, judge: Judge = OWN_RULES) -> bool:
    """Whether a line that a program printed is an answer: as a whole, without brackets around it, after its last ``=``
    or ``:``, or as its last number."""
    if len(output) > _LONGEST_OUTPUT:
        return False
    number = _LAST_NUMBER.search(output)
    ways = [output, output.strip("[](){}"), *(output.rpartition(sign)[2] for sign in "=:" if sign in output)]
    ways += [number[0]] if number else []
    return any(judge.same(way.strip(), answer).same for way in dict.fromkeys(ways) if way.strip())


def refuses(answer: str | None, refusal: str) -> bool:
    """Whether an answer says, in whatever case and style, that the question cannot be answered."""
    return bool(answer and refusal) and _plain_words(answer or "") == _plain_words(refusal)


def _plain_words(text: str) -> list[str]:
    return _WORD.findall(_COMMAND.sub(" ", text).casefold())


def _last_line(observation: str) -> str:
    lines = [line.strip() for line in observation.splitlines() if line.strip()]
    return lines[-1] if lines and lines[-1] != NOTHING_PRINTED else ""


def _numbers(question: str, programs: Sequence[str]) -> float | None:
    """The mean share of the question's numbers that the programs hold: 0 without a program, None without numbers."""
    if not programs:
        return share_used(question, ())
    shares = [share_used(question, literals(program)) for program in programs]
    return None if shares[0] is None else sum(share for share in shares if share is not None) / len(shares)
