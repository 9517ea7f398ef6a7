"""From a row of a file to a problem: which fields hold question, answer and options, and how they are read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from coevolve.errors import ConfigError
from coevolve.grading.extract import last_boxed
from coevolve.grading.grade import Kind
from coevolve.suites.base import task_of
from coevolve.suites.rows import Number, Row, as_text, what
from coevolve.worlds.base import Problem

LETTERS = ascii_uppercase
_ONLY_THE_LETTER = "Only put the option letter in the box, e.g. \\boxed{A}. There is only one correct answer."


def shown(question: str, options: Sequence[str]) -> str:
    """A question with its options and how they are answered, in the words of R-Zero's evaluation."""
    if not options:
        return question
    listed = "\n".join(f"({letter}): {option}" for letter, option in zip(LETTERS, options, strict=False))
    return f"{question}\nOptions are:\n{listed}\n\n{_ONLY_THE_LETTER}"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a problem are in a row; of several names of a field the first that the row has counts."""

    question: tuple[str, ...]
    answer: tuple[str, ...]
    kind: Kind = Kind.MATH
    options: str = ""
    level: str = ""
    topic: str = ""
    final: Callable[[Any, str], str | None] | None = None  # the answer from its field; None: as it stands there

    def missing(self, fields: Mapping[str, Any]) -> str:
        """The names of a field that has to be there and is not; empty where all are."""
        have = {name.lower() for name in fields}
        for names in (self.question, self.answer, (self.options,) if self.options else ()):
            if names and not any(name.lower() in have for name in names):
                return " or ".join(repr(name) for name in names)
        return ""

    def problem(self, suite: str, number: int, row: Row) -> Problem:
        """The problem of a row.

        Args:
            suite: the name of the suite.
            number: of the row, from 1; the id of its task.
            row: which has all fields that have to be there.

        Raises:
            ConfigError: the row has no question, no answer, or one of another form.
        """
        fields = {name.lower(): value for name, value in row.fields.items()}
        question = written(_first(fields, self.question), "question", row.place)
        options = options_of(_first(fields, (self.options,)), row.place) if self.options else ()
        raw = _first(fields, self.answer)
        answer = self.final(raw, row.place) if self.final else as_text(raw)
        if answer is None or not answer.strip():
            raise no_answer(raw, row.place)
        truth = letter_of(answer, options, row.place) if self.kind is Kind.CHOICE else answer.strip()
        return Problem(
            task_of(suite, str(number), shown(question, options)),
            truth,
            self.kind,
            options,
            level=(as_text(fields.get(self.level)) or "").strip() if self.level else "",
            topic=(as_text(fields.get(self.topic)) or "").strip() if self.topic else "",
        )


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((fields[name.lower()] for name in names if name.lower() in fields), None)


def written(value: Any, field: str, place: str) -> str:
    """A text that has to be there.

    Raises:
        ConfigError: it is empty, or no text.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ConfigError(f"the row has no {field}", where=place, fix=f"fill in {field!r}, or take the row out")
    if not isinstance(value, str) or isinstance(value, Number):
        raise ConfigError(f"{field!r} is {what(value)}, not a text", where=place, fix="write it as a text")
    return value.strip()


def no_answer(value: Any, place: str) -> ConfigError:
    """What to say of a row whose answer cannot be one."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return ConfigError("the row has no answer", where=place, fix="fill in its answer, or take the row out")
    return ConfigError(
        f"the answer is {what(value)}, not a text or a number", where=place, fix='write it as a text: "answer": "42"'
    )


def options_of(value: Any, place: str) -> tuple[str, ...]:
    """The texts of the options of a choice, from a list or from the text of one (in a CSV file).

    Raises:
        ConfigError: they are no list of at least two texts.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = None
    texts = [as_text(option) for option in value] if isinstance(value, list | tuple) else []
    if len(texts) < 2 or len(texts) > len(LETTERS) or any(text is None or not text.strip() for text in texts):
        raise ConfigError(
            f"the options of a choice are a list of 2 to {len(LETTERS)} texts",
            where=place,
            fix='write "options": ["the first", "the second"]; the first one is A',
        )
    return tuple(str(text).strip() for text in texts)


def letter_of(answer: str, options: Sequence[str], place: str) -> str:
    """The letter of a choice from "B", "b", "(B)" or "B.".

    Raises:
        ConfigError: it is none, or of no option.
    """
    found = re.fullmatch(r"\(?([A-Za-z])[).:]{0,2}", answer.strip())
    letter = found[1].upper() if found else ""
    last = LETTERS[len(options) - 1] if options else "Z"
    if letter and letter <= last:
        return letter
    same = [LETTERS[i] for i, option in enumerate(options) if option == answer.strip()]
    fix = f"write {same[0]!r}, the letter of this option" if len(same) == 1 else "write the letter of the right option"
    raise ConfigError(f"the answer of a choice is a letter from A to {last}, not {answer!r:.60}", where=place, fix=fix)


def _after_hashes(value: Any, place: str) -> str | None:
    """What stands after the last ####, or a number that stands there alone."""
    text = as_text(value)
    if text is None or not text.strip():
        return None
    if "####" not in text and re.fullmatch(r"[-+$]{0,2}[0-9][0-9,.]*", text.strip()) is None:
        raise ConfigError("the solution names no final answer after ####", where=place, fix="take another copy")
    return text.rsplit("####", 1)[-1].strip()


def _whole(value: Any, place: str) -> str | None:
    """A whole number without the fraction that some copies give it."""
    text = as_text(value)
    return None if text is None else re.sub(r"(?<=[0-9])\.0+\Z", "", text.strip())


def _listed(value: Any, place: str) -> str | None:
    """One answer, or all that are wanted at once."""
    if isinstance(value, list | tuple):
        texts = [as_text(one) for one in value]
        return None if None in texts else ", ".join(str(text).strip() for text in texts)
    return as_text(value)


def _from_0_to_999(value: Any, place: str) -> str | None:
    text = as_text(value)
    if text is None or not text.strip():
        return None
    inner = last_boxed(text) if "boxed" in text else text
    digits = re.fullmatch(r"\s*\$?0*([0-9]{1,3})(?:\.0+)?(?:\^\{?\\circ\}?)?\$?\s*", inner or "")
    if digits is None:
        raise ConfigError(
            f"an answer of this competition is a whole number from 0 to 999, not {text!r:.60}",
            where=place,
            fix="take another copy",
        )
    return digits[1]


LAYOUTS: dict[str, Layout] = {
    "plain": Layout(("question", "problem"), ("answer",)),
    "amc": Layout(("question", "problem"), ("answer",), final=_whole),
    "math": Layout(("problem", "question"), ("answer",), level="level", topic="subject"),
    "gsm8k": Layout(("question",), ("answer",), final=_after_hashes),
    "olympiad": Layout(("question",), ("final_answer", "answer"), topic="subfield", final=_listed),
    "aime": Layout(("problem", "question"), ("answer", "solution"), final=_from_0_to_999),
    "supergpqa": Layout(
        ("question",),
        ("answer_letter", "answer"),
        Kind.CHOICE,
        options="options",
        level="difficulty",
        topic="discipline",
    ),
    "mmlu-pro": Layout(("question",), ("answer",), Kind.CHOICE, options="options", topic="category"),
    "bbeh": Layout(("question", "input"), ("answer", "target"), Kind.FUZZY, topic="task"),
}


def answers_digest(problems: Sequence[Problem]) -> str:
    """SHA-256 over all answers in order of these: equal for all copies of a set, however their questions are set."""
    answers = sorted(problem.truth or "" for problem in problems)
    return hashlib.sha256(json.dumps(answers, ensure_ascii=False).encode()).hexdigest()
