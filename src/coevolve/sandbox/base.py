"""The vocabulary of the Python tool: what a snippet may use, how it ended, and what it printed."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from coevolve.errors import ConfigError

LONGEST_CODE = 65_000
PATIENCE = 4  # times the wall limit: the longest life of a snippet that mostly waits for a core


class Status(StrEnum):
    """How a snippet ended, decided outside the snippet's process.

    What it printed matters for one thing only: a failing exit code reads MEMORY rather than ERROR if stderr ends in a
        MemoryError. A snippet can forge that, and gains nothing but a different word for its failure."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    CPU_LIMIT = "cpu_limit"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    KILLED = "killed"
    SESSION_LOST = "session_lost"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one snippet may use.

    The wall limit is a generous multiple of the CPU limit: on a busy machine wall time says more about the
    other programs than about the snippet, and a false timeout is a false reward.

    Args:
        cpu_s: CPU seconds, user and system, all threads together.
        wall_s: seconds from the start of the snippet. Time in the queue does not count, nor does time in which threads
            of it were runnable but other programs had the cores, up to ``PATIENCE`` times the limit in total.
        memory_mb: address space in MiB beyond that of an idle interpreter with its preloads.
        output_bytes: bytes of stdout and stderr together; exceeding them ends the snippet.
        code_bytes: longest snippet in UTF-8 bytes; a longer one is an ERROR and is not started (65,000 at
            most, what a pipe takes at once).
        open_files: file descriptors.
    """

    cpu_s: float = 2.0
    wall_s: float = 8.0
    memory_mb: int = 512
    output_bytes: int = 65536
    code_bytes: int = LONGEST_CODE
    open_files: int = 64

    @property
    def longest_wall_s(self) -> float:
        """Seconds after which a snippet has ended, however busy the machine is."""
        return self.wall_s * PATIENCE

    def __post_init__(self) -> None:
        """Raises ConfigError for a limit under which nothing could run, or that exceeds what a pipe can hold."""
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ConfigError(f"A limit must be positive, not {getattr(self, name)}.", where=f"Limits.{name}")
        if self.code_bytes > LONGEST_CODE:
            raise ConfigError(
                f"Snippets of {self.code_bytes} bytes do not fit into a pipe.",
                where="Limits.code_bytes",
                fix=f"Allow at most {LONGEST_CODE}.",
            )


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of one snippet.

    Args:
        status: how it ended.
        stdout: what it printed, at most ``Limits.output_bytes``, undecodable bytes replaced.
        stderr: tracebacks and what it wrote to stderr, under the same cap.
        truncated: output was cut.
        exit_code: the process' exit code; None when a signal ended it.
        signal: the signal that ended it; None when it exited.
        wall_ms: milliseconds from start to end, seen from outside.
        cpu_ms: milliseconds of CPU of the snippet's process, its own start included.
        cached: the result of an earlier identical snippet; nothing was executed.
    """

    status: Status
    stdout: str
    stderr: str
    truncated: bool
    exit_code: int | None
    signal: int | None
    wall_ms: float
    cpu_ms: float
    cached: bool = False


def refused(reason: str) -> ToolResult:
    """The result of code that was not even started: an error like any other, in one line."""
    return ToolResult(Status.ERROR, "", f"{reason}\n", False, 1, None, 0.0, 0.0)


def session_lost(why: str) -> ToolResult:
    """The result of a cell that was not run, in words a model can read."""
    words = f"SessionLost: this was not run. The session's variables are gone: {why}.\n"
    return ToolResult(Status.SESSION_LOST, "", words, False, None, None, 0.0, 0.0)


def too_long(length: int, allowed: int) -> ToolResult:
    """The result of a snippet that is longer than allowed, in bytes."""
    return refused(f"SnippetTooLong: {length} bytes of code, at most {allowed} are run")


@dataclass(frozen=True, slots=True)
class Stats:
    """Sums over a tool's life, its self-test not counted.

    Args:
        calls: snippets asked for, cached ones included.
        cache_hits: those answered from the cache.
        infra_failures: attempts that failed because of the sandbox itself.
        busy_s: wall seconds that snippets ran, summed over workers.
        cpu_s: CPU seconds of the snippets' processes.
        told: what the tool has lost and regained of its servers, one sentence each, in their order.
    """

    calls: int
    cache_hits: int
    infra_failures: int
    busy_s: float
    cpu_s: float
    told: tuple[str, ...] = ()


class Tool(Protocol):
    """Runs Python snippets: each in a fresh process, or the cells of one session in one process after the other.

    A session is a name chosen by the caller, one per trajectory. Its first cell starts a process, the later ones find
    what the earlier ones left behind. A cell that ends its process (time, memory, output, exit, signal) says so in its
    own status, and every later cell of that session gets SESSION_LOST: state is never rebuilt by running earlier cells
    again. Sessions are never answered from a cache."""

    layers: Mapping[str, str]  # isolation layers, and which of them are in force

    @property
    def stats(self) -> Stats: ...

    def submit(self, code: str, session: str | None = None) -> Future[ToolResult]:
        """Queue a snippet and return at once; the future raises SandboxInfraError if the sandbox itself
        failed.
        """
        ...

    def run(self, code: str, session: str | None = None) -> ToolResult:
        """Run a snippet and wait for it."""
        ...

    def end_session(self, session: str) -> None:
        """Forget a session and end its process; an unknown name is not an error."""
        ...

    def close(self) -> None:
        """End every process; snippets still waiting fail with SandboxInfraError."""
        ...
