"""Formulas of one's own, named by dotted path in the configuration, and the shipped ones that they take the place of.

``reward.extra`` adds terms to the proposer's reward, ``gate.rule`` has the last word on a task, ``objective`` shapes
what a task teaches. docs/own-idea.md has a complete example.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from coevolve.config.dotted import is_dotted, load_object
from coevolve.errors import ConfigError
from coevolve.learning.advantages import adpo_clip_high, adpo_scale
from coevolve.methods.config import AdpoSection, GateSection, RewardSection, SolverSection
from coevolve.types import Group


class RewardTerm(Protocol):
    """A term that is added to the reward of every well-formed question, before the reward is clipped at zero.

    It carries its own weight, may be negative, and must be finite::

        def brevity(question, group, section):
            '''Up to 0.2 for a question of few words, if anybody could answer it.'''
            if group.vote.answer is None:
                return 0.0
            return 0.2 / max(1, len(question.split()) / 10)

    with ``reward.extra: [my_module:brevity]``. No true answer is known here, and none may be looked up.
    """

    def __call__(self, question: str, group: Group, section: RewardSection) -> float:
        """
        Args:
            question: as the proposer wrote it.
            group: the task with the solver's answers to it and their vote.
            section: the keys ``reward.*``.
        """


GateRule = Callable[[Group], bool]  # whether a task is kept that passes everything else

Shape = tuple[float, float, float]  # what advantages are multiplied by, lower and upper clip bound


class Objective(Protocol):
    """How much a task teaches, by the share of its votes that agree::

    def cautious(p_hat, section):
        return p_hat, section.clip_low, section.clip_high
    """

    def __call__(self, p_hat: float, section: SolverSection) -> Shape:
        """The factor of the task's advantages, and its lower and upper clip bounds."""


def extra_terms(question: str, group: Group, section: RewardSection) -> dict[str, float]:
    """The terms of ``reward.extra`` for a question, by their paths.

    Raises:
        ConfigError: one is no finite number, or cannot be loaded.
    """
    out = {}
    for path in section.extra:
        term: RewardTerm = load_object(path, "reward.extra")
        out[path] = float(term(question, group, section))
        if not math.isfinite(out[path]):
            raise ConfigError(f"the term is {out[path]}", where=f"reward.extra = {path}", fix="return a finite number")
    return out


def gate_rule(section: GateSection) -> GateRule | None:
    """The function that ``gate.rule`` names; None where it names none."""
    return load_object(section.rule, "gate.rule") if section.rule else None


def shape_of(objective: str, section: SolverSection, adpo: AdpoSection, p_hat: float) -> Shape:
    """What a task with this share of agreeing votes teaches, by ``objective``.

    Raises:
        ConfigError: a function of one's own gives something else than three finite numbers, or cannot be loaded.
    """
    if objective == "adpo":
        bounds = {"lower": adpo.lower, "upper": adpo.upper}
        widened = adpo_clip_high(p_hat, base=section.clip_high, extra=adpo.clip_extra, **bounds)
        return float(adpo_scale(p_hat, floor=adpo.scale_floor, **bounds)), section.clip_low, float(widened)
    if not is_dotted(objective):
        return 1.0, section.clip_low, section.clip_high
    own: Objective = load_object(objective, "objective")
    scale, low, high = map(float, own(p_hat, section))
    if not (math.isfinite(scale) and 0 < low < 1 and 0 < high < math.inf):
        what = f"scale {scale}, clip bounds {low} and {high} for p_hat = {p_hat:g}"
        fix = "return a finite scale, a lower bound between 0 and 1, and an upper bound above 0"
        raise ConfigError(what, where=f"objective = {objective}", fix=fix)
    return scale, low, high
