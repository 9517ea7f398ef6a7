"""When two answers are the same, and running a snippet as a model's is run."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import TracebackType

from coevolve.api.keys import layer
from coevolve.grading.equivalence import Judge
from coevolve.grading.verdict import Verdict
from coevolve.methods.registry import load_config
from coevolve.sandbox.base import ToolResult
from coevolve.sandbox.factory import open_tool


@dataclass(frozen=True, slots=True)
class Grade(Verdict):
    """A verdict that is true where the answers are the same; ``stage`` and ``why`` say how that is known."""

    def __bool__(self) -> bool:
        return self.same


def grade(gold: str, pred: str, *, symbolic: bool = True) -> Grade:
    """Whether two answers are the same, as the vote and the evaluations decide it. Raises nothing.

    Args:
        gold, pred: answers, not whole texts: ``"1/2"``, ``"x^2 + 1"``. Their order does not matter.
        symbolic: ask math-verify about what our own rules leave open, where it is installed.
    """
    verdict = _judge(symbolic).same(gold, pred)
    return Grade(verdict.same, verdict.stage, verdict.why)


@cache
def _judge(symbolic: bool) -> Judge:
    """One for all calls, since it remembers answers and keeps a process of math-verify."""
    judge = Judge(symbolic=symbolic)
    atexit.register(judge.close)
    return judge


class Sandbox:
    """Confined processes that run Python snippets: ``with Sandbox(cpu_s=1) as box: box.run("print(1)").stdout``.

    Args:
        sessions: how many sessions may be open at once.
        keys: of the section ``sandbox``: ``cpu_s``, ``wall_s``, ``memory_mb``, ``preload``, ...

    Raises:
        ConfigError: an unknown key, or a value that is not allowed.
        SandboxUnavailable: this machine cannot confine snippets.
    """

    def __init__(self, *, sessions: int = 8, **keys: object) -> None:
        section = load_config(layers=[layer({"sandbox": keys} if keys else {}, "coevolve.Sandbox(...)")]).sandbox
        self._tool = open_tool(section, cache=0, sessions=sessions)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def layers(self) -> Mapping[str, str]:
        """The isolation layers, and which of them are in force."""
        return self._tool.layers

    def run(self, code: str, session: str | None = None) -> ToolResult:
        """Run a snippet: ``.stdout``, ``.stderr``, and ``.status`` says how it ended.

        Args:
            code: Python.
            session: a name; snippets of the same name share their variables. None: a fresh process.

        Raises:
            SandboxInfraError: the sandbox itself failed, not the snippet.
        """
        return self._tool.run(code, session)

    def close(self) -> None:
        """End all processes."""
        self._tool.close()
