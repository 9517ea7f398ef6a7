"""Worked examples of prompts, held against the problems that are measured: none may be among them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from coevolve.config import WorldSettings
from coevolve.errors import ConfigError
from coevolve.evaluation.overlap import matches
from coevolve.worlds.base import Problem
from coevolve.worlds.open.prompting import prompt_file, worked_questions

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def examples_of(settings: WorldSettings) -> dict[str, str]:
    """The problems that the agents of a world are shown with their answers, by the key of the prompt file.

    Raises:
        ConfigError: the prompt file cannot be used.
    """
    if settings.name != "open":
        return {}
    return worked_questions(prompt_file(settings.model.prompts), tool=settings.tool.enabled)


def held_against(examples: Mapping[str, str], suite: str, problems: Sequence[Problem], prompts: str) -> Iterator[str]:
    """A sentence for every worked example that is nearly a problem of a suite.

    Nearly the same are texts that share a long run of words, or that are alike by BLEU and hold the same numbers
    (:mod:`coevolve.evaluation.overlap`): questions of one template with other numbers are another question.

    Args:
        examples: questions by key.
        suite: what the problems are called.
        problems: that are measured.
        prompts: ``model.prompts``, for messages.

    Raises:
        ConfigError: an example is a problem of the suite, but for signs and capital letters.
    """
    if not examples or not problems:
        return
    keys, shown, asked = list(examples), list(examples.values()), [problem.task.question for problem in problems]
    found = matches(asked, shown)
    for n in np.flatnonzero(found.exact >= 0).tolist():
        raise ConfigError(
            f"the worked example {keys[found.exact[n]]} is a problem of {suite}: {asked[n]:.80}",
            where=f"model.prompts={prompts}",
            fix="change the example, or leave the problem out (of a generated set: another seed)",
        )
    for n in np.flatnonzero((found.shared >= 0) | (found.alike >= 0)).tolist():
        near = int(found.shared[n] if found.shared[n] >= 0 else found.alike[n])
        if found.shared[n] >= 0 or _numbers(asked[n]) == _numbers(shown[near]):
            yield f"{suite}: {problems[n].task.id} is nearly the worked example {keys[near]} of {prompts}"


def _numbers(text: str) -> Counter[str]:
    return Counter(_NUMBER.findall(text.replace(",", "")))
