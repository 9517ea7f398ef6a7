"""What programs give, found in the sandbox. No expected value ever enters it, so no program can know or forge one."""

from __future__ import annotations

from collections.abc import Sequence

from coevolve.config import SandboxSection
from coevolve.sandbox.base import Status, Tool, ToolResult
from coevolve.sandbox.factory import open_tool
from coevolve.worlds.code.language import ENTRY, canonical_literal

Outputs = tuple[str | None, ...]  # of each input, as a literal; None where there is none
Run = tuple[str, tuple[str, ...]]  # a program and inputs, in canonical spelling

# Whatever the program does to `print`, `repr` or the streams of its process, it changes nothing but what it is taken to
# give: the lines are read, counted and compared outside. Whatever a program raises, it then gives an empty line.
_SHOW = """

def _show(call):
    try:
        print(repr(call()))
    except Exception:
        print()
"""


class Runner:
    """Runs programs on inputs in a sandbox, which is opened when the first one does.

    Args:
        section: of the sandbox.
        cache: results of identical runs that are remembered.
    """

    def __init__(self, section: SandboxSection, cache: int = 0) -> None:
        self._section, self._cache = section, cache
        self._tool: Tool | None = None

    def outputs(self, runs: Sequence[Run], *, salt: str = "") -> list[Outputs]:
        """What each program gives for each of its inputs, each program in a process of its own.

        Args:
            runs: programs that ``canonical_program`` let through, and inputs that are literals.
            salt: a comment, so that no remembered result of another salt is taken.

        Raises:
            SandboxUnavailable: this machine cannot confine programs.
            SandboxInfraError: the sandbox failed, which says nothing of a program.
        """
        if not runs:
            return []
        if self._tool is None:
            self._tool = open_tool(self._section, cache=self._cache, sessions=0)
        futures = [self._tool.submit(snippet(program, inputs, salt)) for program, inputs in runs]
        return [read_lines(future.result(), len(inputs)) for future, (_, inputs) in zip(futures, runs, strict=True)]

    def deterministic_outputs(self, runs: Sequence[Run]) -> list[Outputs]:
        """As ``outputs``; None for every input where a second call in the same process, or a second process, gives
        anything else."""
        twice = [(program, (*inputs, *inputs)) for program, inputs in runs]
        first, second = self.outputs(twice), self.outputs(twice, salt="again")
        return [
            one[: len(inputs)] if one == other and one[: len(inputs)] == one[len(inputs) :] else (None,) * len(inputs)
            for one, other, (_, inputs) in zip(first, second, runs, strict=True)
        ]

    def close(self) -> None:
        """End the sandbox, if it was opened."""
        if self._tool is not None:
            self._tool.close()
            self._tool = None


def snippet(program: str, inputs: Sequence[str], salt: str = "") -> str:
    """The code that prints a line for each input: what the program gives, or nothing where it raises."""
    calls = "".join(f"_show(lambda: {ENTRY}({given}))\n" for given in inputs)
    return f"{program}\n{_SHOW}\n{calls}" + (f"# {salt}\n" if salt else "")


def read_lines(result: ToolResult, n: int) -> Outputs:
    """The literals of a finished run; all None where it failed or did not print ``n`` lines."""
    lines = result.stdout.removesuffix("\n").split("\n")
    if result.status is not Status.OK or result.truncated or len(lines) != n:
        return (None,) * n
    return tuple(canonical_literal(line) if line else None for line in lines)
