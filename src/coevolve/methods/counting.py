"""What can be counted in the texts of a proposer and the answers of a solver, without knowing any answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

from coevolve.grading.extract import last_boxed
from coevolve.grading.refused import repeats_an_error, repeats_the_question
from coevolve.methods.metrics import sampled_entropy
from coevolve.methods.questions import Written
from coevolve.types import Group, StopReason, Trajectory

_TAG = "<question>"
_OPENED, _CLOSED = (
    re.compile(r"```python\b"),
    re.compile(r"```python[ \t]*\n(?:(?!```).)*\S(?:(?!```).)*```", re.DOTALL),
)
_SIGNIFICANT = re.compile(r"\w")
_NOTHING = "nothing was printed"


@dataclass(frozen=True, slots=True)
class TextCounts:
    """Of what a proposer wrote; all but ``tokens`` and ``entropy`` count texts."""

    texts: int = 0
    empty: int = 0  # without a word
    tagged: int = 0  # hold the tag that opens a question
    well_formed: int = 0
    different: int = 0  # well-formed questions that no earlier one equals
    boxed: int = 0  # hold the writer's own answer
    cut_off: int = 0
    end_tokens: int = 0  # the model itself ended them
    tokens: int = 0  # sampled
    entropy: float | None = None  # nats per sampled token


@dataclass(frozen=True, slots=True)
class AnswerCounts:
    """Of the answers of a solver. Programs, calls and tokens are counted one by one, all else in answers."""

    answers: int = 0
    opened: int = 0  # begin a program
    closed: int = 0  # close the fence of one
    ran: int = 0  # had one run
    calls: int = 0  # programs that ran
    calls_ok: int = 0  # and ended well
    silent: int = 0  # and printed nothing
    unrun: int = 0  # programs that were closed and never ran
    boxed: int = 0
    answered: int = 0  # ended by themselves with a box
    echoes: int = 0  # whose box repeats what went wrong in a program
    unevaluated: int = 0  # whose box is the question's own expression
    cut_off: int = 0
    too_many_calls: int = 0
    forged: int = 0  # wrote the output of a program themselves
    end_tokens: int = 0
    tokens: int = 0
    entropy: float | None = None


def count_texts(written: Sequence[Written], opening: str, ends: Collection[int]) -> TextCounts:
    """
    Args:
        written: what the proposer wrote, parsed.
        opening: the end of its prompt that is part of what it writes.
        ends: the end tokens of the model.
    """
    texts = [w.trajectory for w in written]
    asked = [w.question for w in written if w.task is not None]
    return TextCounts(
        texts=len(texts),
        empty=sum(not _SIGNIFICANT.search(x.text) for x in texts),
        tagged=sum(_TAG in opening + x.text for x in texts),
        well_formed=len(asked),
        different=len(set(asked)),
        boxed=sum(last_boxed(x.text) is not None for x in texts),
        **_written(texts, ends),
        entropy=sampled_entropy(texts),
    )


def count_answers(groups: Sequence[Group], ends: Collection[int]) -> AnswerCounts:
    """
    Args:
        groups: tasks with their answers, of which those that the sandbox lost are left out.
        ends: the end tokens of the model.
    """
    asked = [(group.task.question, x) for group in groups for x in group.trajectories if not x.lost]
    heard = [x for _, x in asked]
    calls = [call for x in heard for call in x.tool_calls]
    stops = [x.stop for x in heard]
    return AnswerCounts(
        answers=len(heard),
        opened=sum(bool(_OPENED.search(x.text)) for x in heard),
        closed=sum(bool(_CLOSED.search(x.text)) for x in heard),
        ran=sum(bool(x.tool_calls) for x in heard),
        calls=len(calls),
        calls_ok=sum(call.status == "ok" for call in calls),
        silent=sum(call.status == "ok" and _NOTHING in call.observation for call in calls),
        unrun=sum(x.unrun for x in heard),
        boxed=sum(last_boxed(x.text) is not None for x in heard),
        answered=sum(x.answer is not None for x in heard),
        echoes=sum(_repeats_a_fault(question, x) for question, x in asked),
        unevaluated=sum(_repeats_the_question(question, x) for question, x in asked),
        too_many_calls=stops.count(StopReason.TURNS),
        forged=stops.count(StopReason.PROTOCOL),
        **_written(heard, ends),
        entropy=sampled_entropy(heard),
    )


def _written(texts: Sequence[Trajectory], ends: Collection[int]) -> dict[str, int]:
    return {
        "cut_off": sum(x.stop is StopReason.LENGTH for x in texts),
        "end_tokens": sum(bool(len(x.tokens)) and bool(x.mask[-1]) and int(x.tokens[-1]) in ends for x in texts),
        "tokens": sum(x.sampled for x in texts),
    }


def _repeats_a_fault(question: str, answer: Trajectory) -> bool:
    box = last_boxed(answer.text)
    failures = [call.observation for call in answer.tool_calls if call.status != "ok"]
    return box is not None and repeats_an_error(box, question, failures)


def _repeats_the_question(question: str, answer: Trajectory) -> bool:
    box = last_boxed(answer.text)
    return box is not None and repeats_the_question(box, question)


def numbers_of(counts: TextCounts | AnswerCounts) -> dict[str, object]:
    """The counts as they stand in metrics.jsonl."""
    return {field.name: getattr(counts, field.name) for field in fields(counts)}
