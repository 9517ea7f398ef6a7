"""Checks, in a real confined child, that the walls hold on this machine.

The layers' own reports say that the kernel took them; these probes say that they work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coevolve.errors import SandboxUnavailable
from coevolve.sandbox.base import Status, ToolResult
from coevolve.sandbox.confine import MISSING, REQUIRED

_FIX = {
    "rlimits": "Raise the hard limits of this shell (ulimit -H).",
    "no_new_privs": "Linux 3.5 or newer is needed.",
    "landlock": "Linux 5.13 or newer is needed, with landlock in the kernel's list of security modules (boot "
    "parameter lsm=landlock,...), and in a container a seccomp profile that allows its calls.",
    "privileges": "Run as an ordinary user, or as a root that may change to user 65534.",
    "seccomp": "A kernel with CONFIG_SECCOMP_FILTER on x86-64 or aarch64 is needed.",
}
# One snippet for all probes: each prints its layer when that layer lets through what it must refuse.
_PROBES = """
import _socket, os
def refused(layer, call, *arguments):
    try:
        call(*arguments)
    except OSError:
        return
    print(layer)
refused("landlock", open, "/etc/passwd")
refused("landlock", os.listdir, "/")
refused("landlock", open, "/proc/self/environ")
refused("landlock", os.open, "/tmp/coevolve-probe", os.O_CREAT | os.O_WRONLY)
refused("seccomp", _socket.socket)
refused("seccomp", os.kill, os.getppid(), 0)
refused("seccomp", os.kill, os.getpid(), 0)
refused("seccomp", os.chmod, "/tmp", 0o777)
try:
    if os.fork() == 0:
        os._exit(0)
    print("seccomp")
except OSError:
    pass
if 0 in (os.getuid(), os.geteuid()):
    print("privileges")
try:
    bytearray(1 << 40)
    print("rlimits")
except MemoryError:
    pass
"""


def require(layers: Mapping[str, str]) -> None:
    """Refuse to go on without a required layer.

    Raises:
        SandboxUnavailable: naming the first missing layer, the kernel's reason, and what to do.
    """
    for layer in REQUIRED:
        state = layers.get(layer, MISSING + "not reported")
        if state.startswith(MISSING):
            raise SandboxUnavailable(
                f"Snippets cannot be confined here: {layer} is {state}.",
                where="the sandbox's self-test",
                fix=f"{_FIX[layer]} With unsafe=True snippets run without it, able to harm this machine.",
            )


def probe(run: Callable[[str], ToolResult], layers: Mapping[str, str]) -> dict[str, str]:
    """The layers as they are found to be: one that lets a probe through becomes "missing: ..."."""
    result = run(_PROBES)
    found = dict(layers)
    if result.status is not Status.OK:
        found["seccomp"] = f"{MISSING}the probes ended with {result.status}: {result.stderr.strip()[-300:]}"
    for layer in result.stdout.split():
        if not found[layer].startswith(MISSING):
            found[layer] = f"{MISSING}in force, but it let a probe through"
    return found
