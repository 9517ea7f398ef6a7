"""The one hierarchy of errors a user of coevolve can meet."""

from __future__ import annotations

import functools
from collections.abc import Callable


class CoevolveError(Exception):
    """What went wrong, where, and what to do about it.

    Args:
        what: one sentence that names the fault.
        where: the file, config key or task at fault; empty when the sentence already says it.
        fix: what the user can do; empty when nothing can be done.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__("\n".join(line for line in (what, where and f"  in {where}", fix and f"  fix: {fix}") if line))

    def __reduce__(self) -> tuple[Callable[..., CoevolveError], tuple[str, str, str]]:
        """Pickle by parts, so that an error crosses from a worker process unchanged."""
        return functools.partial(_rebuild, type(self)), (self.what, self.where, self.fix)


def _rebuild(kind: type[CoevolveError], what: str, where: str, fix: str) -> CoevolveError:
    return kind(what, where=where, fix=fix)


class ConfigError(CoevolveError):
    """A key, value or combination of values that cannot be used."""

    exit_code = 2


class ModelError(CoevolveError):
    """A model folder that is missing, damaged, or does not fit the world or the run."""


class EngineError(CoevolveError):
    """The sampler or trainer cannot go on, or the two disagree."""


class RunError(CoevolveError):
    """A run folder that is in use, damaged, or written by another version."""


class NothingToLearn(RunError):
    """A run, or a model that was tried, in whose texts there is nothing to learn from."""

    exit_code = 3


class TeacherError(RunError):
    """The teacher of a run left something unanswered; the run can be taken up."""


class BudgetSpent(RunError):
    """The teacher of a run may cost no more; the run has stopped and can be taken up."""


class SandboxUnavailable(CoevolveError):
    """This machine lacks a layer that the sandbox requires; nothing was executed."""


class SandboxInfraError(CoevolveError):
    """The sandbox itself failed, not the snippet. Never an observation, never a reward."""
