"""Starts the zygote and communicates with it: one message to fork a child, one report per birth and per death."""

from __future__ import annotations

import array
import contextlib
import marshal
import math
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Limits
from coevolve.sandbox.cgroups import Group
from coevolve.sandbox.child import Birth, Death, pid_of
from coevolve.sandbox.library import ONE_THREAD

_START_SECONDS = 120.0
_QUIT_SECONDS = 2.0
_REPORT = struct.Struct("=BIiQ")
_SPAWNED = 1
_MESSAGE_BYTES = 65536
_CELLS = 1000  # a session's kernel limit of CPU, in cells: a backstop, the supervisor's own clock is the limit
# The zygote's modules are imported as a package of their own, from this folder alone, so that neither
# `coevolve` nor anything installed next to it is imported or importable there.
_BOOT = """
import sys
package = type(sys)("sandbox")
package.__path__ = [sys.argv[1]]
sys.modules["sandbox"] = package
from sandbox.zygote import main
main(int(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True)
class Setup:
    """What every zygote of a pool is started with.

    Args:
        limits: the limits of each snippet.
        preload: packages to import before the first fork.
        packages: the folder to import them from (see :mod:`environment`); None for none.
        namespaces: use namespaces and a control group where that is possible.
        libraries: the system's shared libraries that the packages need, by name.
    """

    limits: Limits
    preload: tuple[str, ...] = ()
    packages: Path | None = None
    namespaces: bool = True
    libraries: tuple[str, ...] = ()


class Zygote:
    """A zygote, which starts at once and is ready once it has reported its layers. It must be created and owned by a
    thread that outlives it: when that thread ends, so does the zygote.

    Args:
        setup: what it is started with.
        children: how many children there can be at once.
        group: the control group to put it into.
        wrapper: a command to start it through (see :mod:`bubblewrap`).

    Raises:
        SandboxInfraError: the interpreter cannot be started.
    """

    def __init__(self, setup: Setup, children: int, group: Group, wrapper: Sequence[str] = ()) -> None:
        self.pid = 0
        self.layers: dict[str, str] = {}
        self.readable: list[str] = []  # paths for somebody else to put a wall around; empty when Landlock does
        self.forks = 0
        self.living: set[int] = set()  # identifiers of the children asked for, their death not reported yet
        self._watch = -1
        self._group = group
        proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        configuration = {
            "parent": os.getpid(),
            "memory_bytes": setup.limits.memory_mb << 20,
            "open_files": setup.limits.open_files,
            "descriptors": setup.limits.open_files + 4 * children,
            "cpu_seconds": math.ceil(setup.limits.cpu_s) + 1,
            "session_cpu_seconds": math.ceil(setup.limits.cpu_s * _CELLS) + 1,
            "preload": setup.preload,
            "packages": str(setup.packages or ""),
            "libraries": setup.libraries,
            "namespaces": setup.namespaces,
            "wrapped": bool(wrapper),
            "proc": proc,
        }
        self._socket, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with remote:  # in namespaces, what is started only waits for the zygote's end
                self._process = self._start(wrapper, (remote.fileno(), *([proc] if wrapper else [])))
        except OSError as error:
            self._socket.close()
            raise _no_start(str(error)) from error
        finally:
            os.close(proc)
        group.add(self._process.pid)  # before it is told to go on, and so before it can fork
        with contextlib.suppress(OSError):  # it has ended already, as its introduction will show
            self._socket.send(marshal.dumps(configuration))

    def _start(self, wrapper: Sequence[str], descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
        # -P -s instead of -I: the hash seed has to come from the environment, which holds nothing else.
        options = ("-P", "-s", "-S", "-B", "-X", "utf8", "-X", "no_debug_ranges")
        here = str(Path(__file__).resolve().parent)
        # One arena: by default each thread reserves 64 MB of the address space that Limits.memory_mb is about.
        return subprocess.Popen(
            [*wrapper, interpreter(), *options, "-c", _BOOT, here, str(descriptors[0])],
            env={"PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "1", **dict.fromkeys(ONE_THREAD, "1")},
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def introduce(self, *, wait: bool) -> bool:
        """Read its first report, that it is ready and in which layers; False if there is none yet and ``wait`` is
        false.

        Raises:
            SandboxInfraError: it could not prepare itself.
        """
        self._socket.settimeout(_START_SECONDS if wait else 0.0)
        try:
            answer, ancillary, _, _ = self._socket.recvmsg(
                _MESSAGE_BYTES, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return False
        except OSError as error:
            raise _no_start(str(error)) from error
        if not answer:
            raise _no_start("it ended before it said anything")
        layers = marshal.loads(answer)
        if "error" in layers:
            raise _no_start(layers["error"])
        self.readable = layers.pop("readable", [])
        self._watch = int.from_bytes(ancillary[0][2], sys.byteorder)
        self.pid, self.layers = pid_of(self._watch), {**layers, "cgroup": self._group.state}
        self._socket.setblocking(True)
        return True

    def fileno(self) -> int:
        """Readable when a report waits or the zygote is gone."""
        return self._socket.fileno()

    def spawn(self, kind: bytes, identifier: int, descriptors: tuple[int, int, int]) -> None:
        """Ask for a child of a kind, for one snippet or for a session, whose first three descriptors are these.

        Args:
            kind: for a snippet or for a session.
            identifier: returns in the reports of its birth and death.
            descriptors: its stdin, stdout and stderr.

        Raises:
            OSError: the zygote is gone.
        """
        self.forks += 1
        self.living.add(identifier)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        self._socket.sendmsg([kind + identifier.to_bytes(4, "little")], [rights])

    def report(self) -> Birth | Death | None:
        """The next report; None when the zygote is gone."""
        try:
            data, ancillary, _, _ = self._socket.recvmsg(_REPORT.size, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return None
        if not data:
            return None
        kind, identifier, number, microseconds = _REPORT.unpack(data)
        if kind == _SPAWNED:
            return Birth(identifier, int.from_bytes(ancillary[0][2], sys.byteorder))
        self.living.discard(identifier)
        return Death(identifier, number, microseconds / 1e6)

    def quit(self) -> None:
        """Let it reap its children, which have been killed, and end."""
        try:
            self._socket.send(b"Q")
            self._process.wait(_QUIT_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            pass  # kill() below is the answer to both
        self.kill()

    def kill(self) -> None:
        """End it at once, and reap it."""
        if self._watch >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._watch, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_QUIT_SECONDS)
            os.close(self._watch)
            self._watch = -1
        self._process.kill()
        self._process.wait()
        self._socket.close()


def interpreter() -> str:
    """The real interpreter, not a virtual environment's link to it."""
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def _no_start(reason: str) -> SandboxInfraError:
    return SandboxInfraError(
        f"The sandbox interpreter did not start: {reason}.",
        where=interpreter(),
        fix="Run that interpreter by hand; if it works, check sandbox.preload and sandbox.memory_mb.",
    )
