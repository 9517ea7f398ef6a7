"""Checks, in a real confined child, that the isolation layers hold on this machine.

The layers' own reports say that the kernel accepted them; these probes show that they work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from time import perf_counter

from coevolve.errors import SandboxInfraError, SandboxUnavailable
from coevolve.sandbox.base import Status, Tool, ToolResult
from coevolve.sandbox.layers import ABSENT, MISSING, ON, REQUIRED

WAY_OUT = "let another machine run the snippets (sandbox.backend=remote, sandbox.url=http://host:port)"
_FIX = {
    "rlimits": "Raise the hard limits of this shell (ulimit -H).",
    "no_new_privs": "Linux 3.5 or newer is needed.",
    "landlock": "Linux 5.13 or newer is needed, with landlock in the kernel's list of security modules (boot "
    "parameter lsm=landlock,...), and in a container a seccomp profile that allows its calls; or a machine on which "
    "this user, or a set-uid bubblewrap, may make namespaces.",
    "privileges": "Run as an ordinary user, or as a root that may change to user 65534.",
    "seccomp": "A kernel with CONFIG_SECCOMP_FILTER on x86-64 or aarch64 is needed.",
}
# What a snippet tries, the layer that must refuse it (by an OSError or MemoryError), and how it tries. All of it is
# harmless where nothing refuses it.
_PROBES = (
    ("read a file", "landlock", "open('/etc/passwd')"),
    ("list a folder", "landlock", "os.listdir('/proc')"),
    ("read its process' entry", "landlock", "open('/proc/self/environ')"),
    ("make a file", "seccomp", "make('/tmp/coevolve-probe')"),
    ("change a file", "seccomp", "os.chmod(os.__file__, os.stat(os.__file__).st_mode)"),
    ("open a socket", "seccomp", "_socket.socket()"),
    ("start a process", "seccomp", "fork()"),
    ("signal its parent", "seccomp", "os.kill(os.getppid(), 0)"),
    ("signal by process number", "seccomp", "os.kill(os.getpid(), 0)"),
    ("be root", "privileges", "os.seteuid(0) if 0 not in os.getresuid() else None"),
    ("use a terabyte", "rlimits", "bytearray(1 << 40)"),
    ("use what it likes", "rlimits", "unlimited()"),
    ("see a file it may not read", "namespaces", "os.stat('/proc')"),
)
_CODE = """
import _socket, os, resource
def make(path):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.unlink(path)
def fork():
    if os.fork() == 0: os._exit(0)
def unlimited():
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
        if resource.RLIM_INFINITY in resource.getrlimit(kind): return
    raise OSError('limited')
def outcome(call):
    try: call()
    except OSError as error: return error.errno or 0
    except MemoryError: return 'memory'
    except BaseException as error: return type(error).__name__
    return 'done'
"""
# Few words: a snippet's output may be limited to 64 bytes
_CODE += f"print({', '.join(f'outcome(lambda: {call})' for _, _, call in _PROBES)})"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one probe.

    Args:
        name: what a snippet tried.
        layer: the layer that must refuse it.
        passed: it was refused.
        detail: with which error; or what happened instead.
    """

    name: str
    layer: str
    passed: bool
    detail: str


def probe(run: Callable[[str], ToolResult]) -> tuple[Finding, ...]:
    """Run one snippet that tries everything forbidden."""
    result = run(_CODE)
    words = result.stdout.split()
    if result.status is not Status.OK or len(words) != len(_PROBES):
        detail = f"the probes ended with {result.status}: {result.stderr.strip()[-300:]}"
        return (Finding("end in order", "seccomp", False, detail),)
    return tuple(_finding(name, layer, word) for (name, layer, _), word in zip(_PROBES, words, strict=True))


def _finding(name: str, layer: str, word: str) -> Finding:
    if word == "memory":
        return Finding(name, layer, True, "MemoryError")
    if word.isdigit():
        return Finding(name, layer, True, os.strerror(int(word)) if int(word) else "limited")
    return Finding(name, layer, False, "succeeded" if word == "done" else f"ended with {word[:30]}")


def judge(layers: Mapping[str, str], findings: Sequence[Finding]) -> dict[str, str]:
    """The state of each layer according to the probes.

    A layer that lets a probe through is not in force, whatever it reports. Landlock may be missing where a mount
    namespace takes its place: only readable files exist there, and the file probes decide."""
    found = dict(layers)
    if found["landlock"].startswith(MISSING) and found["namespaces"].startswith(ON):
        found["landlock"] = f"{ON}, by the mount namespace (landlock is {found['landlock']})"
    elif found["landlock"].startswith(MISSING) and found["namespaces"].startswith(ABSENT):
        found["landlock"] += f"; namespaces, which could take its place, are {found['namespaces']}"
    for finding in findings:
        state = found[finding.layer]
        if not finding.passed and state.startswith(ON):
            absence = MISSING if finding.layer in REQUIRED else ABSENT
            found[finding.layer] = f"{absence}in force, but a snippet could {finding.name}: {finding.detail}"
    return found


def missing(layers: Mapping[str, str]) -> dict[str, str]:
    """The required layers that are not in force, with the reason."""
    states = {layer: layers.get(layer, f"{MISSING}not reported") for layer in REQUIRED}
    return {layer: state.removeprefix(MISSING) for layer, state in states.items() if not state.startswith(ON)}


def require(layers: Mapping[str, str]) -> None:
    """Refuse to continue without a required layer.

    Raises:
        SandboxUnavailable: naming the missing layers, the kernel's reason, and what to do.
    """
    lacking = missing(layers)
    if lacking:
        list_of_them = " and ".join(f"{name} is missing: {reason}" for name, reason in lacking.items())
        raise SandboxUnavailable(
            f"Snippets cannot be confined here: {list_of_them}.",
            where="the sandbox's self-test",
            fix=f"{' '.join(_FIX[name] for name in lacking)} Or {WAY_OUT}. With unsafe=True (sandbox.unsafe=true) "
            "snippets run without it, able to harm this machine.",
        )


# By the package that must be preloaded; "" for none.
ONE_LINERS = {
    "": "print(3440 % 61)",
    "numpy": "import numpy as np; print(np.linalg.det(np.eye(3)))",
    "sympy": "import sympy; x = sympy.Symbol('x'); print(sympy.solve(x**2 - 5*x + 6))",
}
_SESSION = "latency"
_SLEEPS, _COMPUTES = "import time; time.sleep(3600)", "while True: pass"


@dataclass(frozen=True, slots=True)
class Spread:
    """Wall milliseconds of calls one after the other."""

    p50_ms: float
    p99_ms: float


def spread(call: Callable[[], object], times: int) -> Spread:
    """Time repeated calls, at least two."""
    taken = []
    for _ in range(times):
        start = perf_counter()
        call()
        taken.append((perf_counter() - start) * 1e3)
    cuts = quantiles(taken, n=100, method="inclusive")
    return Spread(cuts[49], cuts[98])


def run_well(tool: Tool, code: str, session: str | None = None) -> ToolResult:
    """Run code that is expected to succeed.

    Args:
        tool: runs the code.
        code: what to run.
        session: name of a session; None for a process of its own.

    Raises:
        SandboxInfraError: it did.
    """
    return _ended_by(Status.OK, tool, code, session)


def _ended_by(end: Status, tool: Tool, code: str, session: str | None = None) -> ToolResult:
    result = tool.run(code, session)
    if result.status is not end:
        what = f"A snippet that had to end with {end} ended with {result.status}: {result.stderr.strip()[-300:]}"
        raise SandboxInfraError(what, where=repr(code), fix="Look at the limits of the sandbox.")
    return result


def snippets(tool: Tool, package: str, times: int) -> Spread:
    """One-liners in processes of their own.

    Args:
        tool: runs the snippets.
        package: that is preloaded and used; "" for none.
        times: number of snippets.

    Raises:
        SandboxInfraError: one failed.
    """
    return spread(lambda: run_well(tool, ONE_LINERS[package]), times)


def cells(tool: Tool, times: int) -> Spread:
    """Trivial cells of one session, its first not counted.

    Raises:
        SandboxInfraError: one failed.
    """
    run_well(tool, "count = 0", _SESSION)
    try:
        return spread(lambda: run_well(tool, "count += 1", _SESSION), times)
    finally:
        tool.end_session(_SESSION)


def late_by_wall(tool: Tool, wall_s: float) -> float:
    """Milliseconds from the wall deadline of a sleeping snippet to its end.

    Raises:
        SandboxInfraError: it ended otherwise.
    """
    return _ended_by(Status.TIMEOUT, tool, _SLEEPS).wall_ms - wall_s * 1e3


def late_by_cpu(tool: Tool, cpu_s: float) -> float:
    """CPU milliseconds that a busy snippet got beyond its limit. The wall limit must be far away.

    Raises:
        SandboxInfraError: it ended otherwise.
    """
    return _ended_by(Status.CPU_LIMIT, tool, _COMPUTES).cpu_ms - cpu_s * 1e3
