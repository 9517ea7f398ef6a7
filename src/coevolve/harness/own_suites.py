"""The problems that the world of a target has itself, by name: the held-out sets of the miniature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from coevolve.errors import ConfigError
from coevolve.evaluation.meters import open_meter
from coevolve.evaluation.runner import PROBLEM_SEED
from coevolve.harness.board import Wanted
from coevolve.runs.answerer import Answerer
from coevolve.suites.base import content_digest, subset
from coevolve.worlds.base import HELD_OUT, TRANSFER, Suite

OWN = "held-out and transfer: the sets of the target's own world"
_PARTS = {"held-out": HELD_OUT, "transfer": TRANSFER}


def own_suites(spec: str, answerer: Answerer | None, *, samples: int | None, limit: int) -> list[Wanted] | None:
    """The suites that ``held-out`` or ``transfer`` stands for; None where something else is meant.

    The levels of a part are one suite, any other set is one of its own. They are the problems on which a run of the
    same ``evaluation`` keys is measured.

    Args:
        spec: what the user wrote.
        answerer: whose world it is; None for an endpoint, which has none.
        samples: per problem; None: as many as ``evaluation`` says.
        limit: problems of a suite at most; 0 = all.

    Raises:
        ConfigError: the world of the target has no such problems.
    """
    if spec not in _PARTS:
        return None
    found: Sequence[Suite] = ()
    if answerer is not None:
        config = answerer.config
        meter = open_meter(config.world, config.dialogue, sandbox=config.sandbox)
        found = [s for s in meter.suites(config.evaluation, PROBLEM_SEED) if s.part == _PARTS[spec]]
    if answerer is None or not found:
        raise ConfigError(
            f"the world of this target has no {spec} problems of its own",
            where=f"--suite {spec}",
            fix="name a file, a benchmark or a generated set: coevolve eval --list",
        )
    together = [suite for suite in found if suite.is_level]
    groups = {spec: together} if together else {}
    groups |= {f"{spec}-{suite.key}": [suite] for suite in found if not suite.is_level}
    copy = f"{answerer.config.world} world, evaluation.problem_set={answerer.config.evaluation.problem_set}"
    return [_wanted(name, members, samples, limit, copy) for name, members in groups.items()]


def _wanted(name: str, members: Sequence[Suite], samples: int | None, limit: int, copy: str) -> Wanted:
    problems = tuple(
        replace(problem, level=problem.level or (suite.key if suite.is_level else ""))
        for suite in members
        for problem in suite.load()
    )
    return Wanted(
        name,
        subset(problems, limit),
        members[0].samples if samples is None else samples,
        content_digest(problems),
        copy,
        "Apache-2.0 (this package)",
    )
