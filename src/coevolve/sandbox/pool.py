"""The Python tool for model-written code: a pool of confined processes, each for one snippet or one session.

What it holds back: reading any file but the standard library and the preloaded packages, every write, every
network connection, other processes and their memory, privileges, and more CPU, time, memory or output than
allowed.

What it does NOT cover:

* faults of the kernel itself. For code that may be written to attack, run the trainer in a virtual machine
  too;
* without namespaces, existence, size and times of files (``os.stat``);
* what the machine is: kernel version, core count, load, its own user id;
* timing and cache side channels between snippets and other programs on the same cores;
* memory in total: a snippet's limit is its own address space, so ``workers`` times the limit must fit into
  memory, and with sessions ``max_sessions`` times the limit;
* determinism beyond ``random``, ``numpy.random``, hashes and the time zone: clocks, ``os.urandom`` and
  addresses differ;
* other systems than Linux on x86-64 and aarch64: there it refuses to start.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import warnings
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Self

from coevolve.errors import SandboxInfraError, SandboxUnavailable
from coevolve.sandbox import selftest
from coevolve.sandbox.base import Limits, Stats, ToolResult, too_long
from coevolve.sandbox.cache import ResultCache
from coevolve.sandbox.elf import libraries_of
from coevolve.sandbox.environment import folder_for, importable
from coevolve.sandbox.launch import Setup
from coevolve.sandbox.running import Counters, Job
from coevolve.sandbox.sessions import Sessions
from coevolve.sandbox.supervisor import Supervisor

Probe = Callable[[Callable[[str], ToolResult]], tuple[selftest.Finding, ...]]
_DEFAULT_LIMITS = Limits()
_WORD = re.compile(r"\w+")


class SandboxPool:
    """Runs snippets in confined processes: a fresh one for each, or one for each session.

    Implements :class:`coevolve.sandbox.base.Tool`.

    ``submit`` and ``run`` may be called by any thread of the process that made the pool. Callbacks of the
    futures run in the pool's thread and must be short.

    Args:
        limits: what one snippet may use.
        workers: how many snippets run at once; the others wait.
        preload: packages to import once beforehand; snippets that name one, and sessions, then have them for nothing.
            Other snippets are forked from an interpreter without them, which costs less.
        environment: the folder of packages that snippets may import, or a virtual environment; by default a folder
            that holds the preloads and what they require, and nothing when there are none.
        namespaces: hide other files, processes and the network, and bound the memory of all snippets together, where
            this machine allows it.
        unsafe: go on without the layers that this machine lacks; those it has still apply.
        cache_size: how many results to keep by code text (least recently used go first); only OK and ERROR
            are kept.
        max_sessions: how many sessions may live at once; one more is refused with SandboxInfraError, none is
            ever given up for another. Each takes a process of some megabytes.
        session_idle_s: seconds without a cell after which a session is lost.
        probe: replaces the self-test's probes.

    Raises:
        SandboxUnavailable: a required layer is missing and ``unsafe`` is false, or this is not Linux on
            x86-64 or aarch64, or a preload is not installed.
        SandboxInfraError: the sandbox's interpreter does not start.
        ConfigError: so many sessions need more open files than this process may have.
    """

    def __init__(
        self,
        *,
        limits: Limits = _DEFAULT_LIMITS,
        workers: int = 1,
        preload: tuple[str, ...] = (),
        environment: str | None = None,
        namespaces: bool = True,
        unsafe: bool = False,
        cache_size: int = 0,
        max_sessions: int = 64,
        session_idle_s: float = 600.0,
        probe: Probe = selftest.probe,
    ) -> None:
        _require_platform()
        self.unsafe = unsafe
        self._owner = os.getpid()
        self._limits = limits
        self._cache = ResultCache(cache_size)
        self.layers: Mapping[str, str] = {}
        self.findings: tuple[selftest.Finding, ...] = ()  # what the self-test found, probe by probe
        self._sessions = Sessions(max_sessions, session_idle_s)
        packages = folder_for(preload, environment)
        setup = Setup(limits, preload, packages, namespaces, libraries_of(packages) if packages else ())
        self._preloaded = bool(preload)
        self._names = importable(packages) | {name.partition(".")[0] for name in preload}
        self._supervisor = Supervisor(setup, workers, self._sessions)
        self._finalizer = weakref.finalize(self, self._supervisor.stop)
        self._supervisor.start()
        try:
            self.layers = self._examine(probe)
        except BaseException:
            self.close()
            raise

    def _examine(self, probe: Probe) -> dict[str, str]:
        """The layers in force, found by probes."""
        layers = dict(self._supervisor.layers)
        if not self.unsafe:  # nothing is run, not even a probe, where a required layer is missing for sure
            selftest.require(selftest.judge(layers, ()))
        for bare in (True, False) if self._preloaded else (False,):
            self.findings = probe(partial(self._run_in, bare))
            layers = selftest.judge(layers, self.findings)
        if self.unsafe:
            layers["unsafe"] = _warn(selftest.missing(layers))
        else:
            selftest.require(layers)
        self._cache.calls, self._supervisor.counters = 0, Counters()
        return layers

    def submit(self, code: str, session: str | None = None) -> Future[ToolResult]:
        """Queue a snippet and return at once.

        The future raises SandboxInfraError if the sandbox itself failed twice on it (with a session: once), was
        closed, or has too many sessions.
        """
        if session is None:
            return self._cache.submit(code, self._start)
        return self._cache.pass_by(code, lambda code, future: self._start(code, future, session))

    def run(self, code: str, session: str | None = None) -> ToolResult:
        """Run a snippet and wait for it.

        Raises:
            SandboxInfraError: as :meth:`submit`.
        """
        return self.submit(code, session).result()

    def end_session(self, session: str) -> None:
        """Forget a session and end its process; a name never heard of is no error.

        A cell that still runs is KILLED, those that wait for it are SESSION_LOST.
        """
        self._require_owner()
        self._supervisor.end_session(session)

    def close(self) -> None:
        """End every process; snippets not finished fail. Done at exit if not before."""
        self._finalizer()

    @property
    def stats(self) -> Stats:
        """What the pool has done so far, the self-test not counted."""
        done = self._supervisor.counters
        return Stats(self._cache.calls, self._cache.hits, done.infra_failures, done.busy_s, done.cpu_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_owner(self) -> None:
        if os.getpid() != self._owner:
            raise SandboxInfraError(
                "This sandbox belongs to the process that made it.",
                where=f"process {os.getpid()}, forked from {self._owner}",
                fix="Make a SandboxPool in each process.",
            )

    def _run_in(self, bare: bool, code: str) -> ToolResult:
        """Run a snippet in a child of a certain kind."""
        future: Future[ToolResult] = Future()
        self._supervisor.submit(Job(code.encode(), future, bare=bare))
        return future.result()

    def _needs_nothing(self, code: str) -> bool:
        """It names no package. Should it import one in spite of that, this only takes longer."""
        return not self._names.intersection(_WORD.findall(code))

    def _start(self, code: str, future: Future[ToolResult], session: str | None = None) -> None:
        self._require_owner()
        data = code.encode("utf-8", "surrogatepass")
        if len(data) > self._limits.code_bytes:
            future.set_result(too_long(len(data), self._limits.code_bytes))
            return
        try:
            if session is not None:
                job = Job(data, future, self._sessions.of(session))
            else:
                job = Job(data, future, bare=self._needs_nothing(code))
            self._supervisor.submit(job)
        except SandboxInfraError as error:  # too many sessions
            future.set_exception(error)


def _warn(missing: Mapping[str, str]) -> str:
    """Say what unsafe means here; the state of that layer."""
    without = "; ".join(f"{layer} ({reason})" for layer, reason in missing.items()) or "nothing, all are in force"
    warnings.warn(
        f"SANDBOX UNSAFE: model-written code runs although these layers are missing here: {without}.", stacklevel=4
    )
    return f"yes, missing: {without}"


def _require_platform() -> None:
    """Raises SandboxUnavailable where the walls do not exist."""
    problem = ""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        problem = "Model-written code can be confined on Linux (x86-64, aarch64) only."
    else:
        try:
            os.close(os.pidfd_open(os.getpid()))
        except OSError as error:
            problem = f"The kernel is too old to confine model-written code, Linux 5.3 is needed: pidfd_open: {error}."
    if problem:
        raise SandboxUnavailable(
            problem,
            where=f"{platform.system()} {platform.release()} on {platform.machine()}",
            fix=f"Run in a Linux virtual machine or container, or {selftest.WAY_OUT}.",
        )
