"""The graders of the evaluation, by kind of answer and mode."""

from __future__ import annotations

from functools import partial

from coevolve.errors import ConfigError
from coevolve.grading.choice import choice
from coevolve.grading.exact import exact
from coevolve.grading.extract import first_boxed, last_boxed
from coevolve.grading.fuzzy import fuzzy
from coevolve.grading.grade import Grade, Grader, Item, Kind, Mode, Referee


def grader(kind: str, mode: str, judge: Referee, *, seed: int = 0) -> Grader:
    """The function that grades one response.

    Args:
        kind: math, choice, fuzzy or exact.
        mode: strict or paper-compatible.
        judge: decides whether two answers are the same; kept by the caller, who closes it.
        seed: of the letters that are drawn in paper-compatible choice.

    Raises:
        ConfigError: no such kind or mode.
    """
    how = Mode(_known("mode", mode, [m.value for m in Mode]))
    match Kind(_known("kind", kind, [k.value for k in Kind])):
        case Kind.MATH:
            return partial(mathematical, how, judge)
        case Kind.CHOICE:
            return partial(choice, how, judge, seed)
        case Kind.FUZZY:
            return partial(fuzzy, how)
        case Kind.EXACT:
            return partial(exact, how)


def mathematical(mode: Mode, judge: Referee, response: str, item: Item) -> Grade:
    """Right when the judge calls answer and gold the same.

    Strict takes the last box. Paper-compatible takes the first box up to the last brace of its line, as R-Zero does;
    the language model that R-Zero lets turn wrong answers right afterwards is not part of it.
    """
    answer = last_boxed(response) if mode is Mode.STRICT else first_boxed(response)
    if answer is None:
        return Grade(False, None, "no boxed answer", parsed=False)
    verdict = judge.same(answer, item.gold)
    return Grade(verdict.same, answer, verdict.why)


def _known(what: str, name: str, names: list[str]) -> str:
    if name not in names:
        raise ConfigError(f"unknown {what} of grader: {name}", fix=f"one of {', '.join(names)}")
    return name
