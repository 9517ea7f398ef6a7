"""The process all snippets are forked from: a small, confined interpreter that serves one control socket.

It is started with ``exec`` (never forked from the trainer) and an empty environment, imports the standard modules that
snippets use most, applies every layer of :mod:`confine`, and then forks, watches and reaps children. A child waits,
confined, until it is sent a snippet, so that neither fork nor confinement is on the critical path. No snippet ever runs
in this process, and nothing secret is in its memory, which every snippet can read.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import _socket
import errno
import gc
import importlib
import marshal
import os
import platform
import resource
import select
import sys
import time
from _struct import pack
from collections.abc import Callable
from typing import Any, NoReturn

from . import arrivals, confine, library, namespaces, semaphores, snippet, stand_ins, streams
from .layers import MISSING, ON

STDLIB_PRELOADS = (
    "bisect", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal", "fractions", "functools",
    "heapq", "itertools", "json", "math", "operator", "random", "re", "statistics", "string", "threading",
    "time", "typing",
)  # fmt: skip
SPAWNED, EXITED = 1, 2
SPAWN, SPAWN_SESSION, QUIT = b"S", b"C", b"Q"
# kind, child identifier, then pid (SPAWNED) or wait status (EXITED), CPU microseconds
REPORT = "=BIiQ"
# Of the whole user, as the kernel counts them: keeps a snippet from using up all pids. Where the user may have
# fewer, the last ones are for the zygote, which has to go on making processes.
_USERS_THREADS, _KEPT_BACK = 8192, 256
_NO_PROCESS_S = 0.01
_FIRST_CLOSED = 3
_MESSAGE_BYTES = 65536


def main(control_descriptor: int) -> NoReturn:
    """Confine this process as the first message says, answer with what is in force, serve until told to quit."""
    control = _socket.socket(fileno=_moved_down(control_descriptor))
    configuration = marshal.loads(control.recv(_MESSAGE_BYTES))
    try:
        layers = _prepare(configuration)
    except BaseException as error:
        control.send(marshal.dumps({"error": f"{type(error).__name__}: {error}"}))
        os._exit(1)
    myself = os.pidfd_open(os.getpid())  # our pid here may be another one there
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, pack("=i", myself))
    control.sendmsg([marshal.dumps(layers)], [rights])
    os.close(myself)
    filtered = layers["seccomp"] == ON
    child_filter = confine.ChildFilter(platform.machine()) if filtered else None
    _Server(control, configuration, child_filter).serve()


def _moved_down(descriptor: int) -> int:
    """The same file under the lowest free descriptor: a trainer with many open files hands over high numbers, and
    children only close descriptors up to their limit of open files.
    """
    low = os.dup(descriptor)
    os.close(descriptor)
    return low


def _prepare(configuration: dict[str, Any]) -> dict[str, Any]:
    """Import, freeze, confine. The keys of the answer are the layers, the values what is in force; with "readable",
    the paths that somebody else may put a wall around.
    """
    machine = platform.machine()
    real_register: Any = os.register_at_fork
    os.register_at_fork = _ignore
    # A fork here is followed by one snippet, in one thread: hooks that reseed `random` (snippets are
    # deterministic) or rebuild locks would only cost, and double the price of a child.
    for name in STDLIB_PRELOADS:
        importlib.import_module(name)
    semaphores.install()
    arrivals.watch()
    library.preload(configuration["preload"], configuration["packages"])
    os.register_at_fork = real_register
    sys.modules["random"].seed(0)
    wrapped = configuration["wrapped"]  # bubblewrap has taken away what is not readable
    readable = [] if wrapped else library.readable(configuration["packages"], configuration["libraries"])
    proc = configuration["proc"] if wrapped else os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    tasks, opened = (confine.entry(proc, name, os.O_DIRECTORY) for name in ("task", "fd"))
    if len(os.listdir(tasks)) > 1:
        raise RuntimeError("a preload started a thread, which the confinement would not reach")
    if max(map(int, os.listdir(opened))) >= configuration["descriptors"]:
        raise RuntimeError("a preload opened a file that snippets would keep open")
    if _shares_memory(proc):
        raise RuntimeError("a preload made memory that all snippets would share and could write to")
    streams.replace_by_pipes()
    stand_ins.install()
    os.environ.clear()
    for name in library.ONE_THREAD:  # for libraries that snippets import: of which the variable says nothing secret
        os.putenv(name, "1")
    _collect()  # what is not touched after this is shared with the process that waits for us, and with snippets
    os.close(tasks)
    os.close(opened)
    layers = _enter(configuration, machine, readable, proc)
    _forget_ourselves()
    return layers


def _shares_memory(proc: int) -> bool:
    with open(confine.entry(proc, "maps"), "rb") as maps:
        modes = [line.split(None, 2)[1] for line in maps]
    return any(mode.endswith(b"s") and mode[1:2] == b"w" for mode in modes)


def _ignore(**_: object) -> None:
    """Stands in for ``os.register_at_fork``."""


def _forget_ourselves() -> None:
    """Hide our modules and paths from snippets, and leave the garbage collector nothing to do."""
    for name in [name for name in sys.modules if name.partition(".")[0] == __package__]:
        del sys.modules[name]
    sys.argv[:] = sys.orig_argv[:] = [""]
    _collect()
    gc.disable()


def _collect() -> None:
    gc.collect()
    gc.freeze()


def _enter(configuration: dict[str, Any], machine: str, readable: list[tuple[str, str]], proc: int) -> dict[str, Any]:
    """Apply every layer, in an order in which each is still allowed; one that fails is "missing: why"."""
    confine.prefer_for_oom_killer(proc)
    must_read = [library.directory(), *filter(None, [configuration["packages"]])]
    paths = [path for path, _ in readable]
    parent = configuration["parent"]
    layers: dict[str, Any] = {}
    try:
        layers["rlimits"] = confine.limit_resources(proc, configuration["memory_bytes"], configuration["descriptors"])
    except (OSError, ValueError) as error:
        layers["rlimits"] = f"{MISSING}{error}"
    os.close(proc)
    entry = namespaces.Entry("off", -1)
    if configuration["wrapped"]:
        entry = namespaces.Entry(f"{ON}: mount, network, ipc, uts, pid, by bubblewrap", -1)
        parent = namespaces.OUTSIDE
    elif configuration["namespaces"]:
        confine.die_with_parent(parent)
        entry = namespaces.enter(machine, paths)
        parent = parent if entry.life < 0 else namespaces.OUTSIDE
    walls: dict[str, Callable[[], str]] = {
        "no_new_privs": confine.no_new_privileges,
        "landlock": lambda: confine.landlock(machine, readable),
        "privileges": lambda: confine.drop_privileges(machine, must_read),
        "seccomp": lambda: _filter_calls(machine, parent, entry.life),
    }
    for name, enter in walls.items():
        try:
            layers[name] = enter()
        except (OSError, ValueError) as error:
            layers[name] = f"{MISSING}{error}"
    layers["namespaces"] = entry.state
    return layers if layers["landlock"].startswith(ON) else {**layers, "readable": paths}


def _filter_calls(machine: str, parent: int, life: int) -> str:
    """The last layer. Two settings that it forbids, and that a change of user would have undone, come first."""
    confine.not_dumpable()
    confine.die_with_parent(parent)
    if life >= 0:
        if namespaces.is_orphan(life):
            os._exit(1)
        os.close(life)
    return confine.base_filter(machine).load()


def _limit_of_threads() -> int:
    """How many threads a snippet's user may have when it starts another; our own limit is raised beyond that."""
    most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    if most == resource.RLIM_INFINITY:
        return _USERS_THREADS
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    return min(_USERS_THREADS, most - min(_KEPT_BACK, most // 8))


class _Server:
    """Makes a child when told to, and reports each birth and each death."""

    def __init__(
        self, control: _socket.socket, configuration: dict[str, Any], child_filter: confine.ChildFilter | None
    ) -> None:
        self._pid = os.getpid()
        self._control = control
        self._cpu = {SPAWN: configuration["cpu_seconds"], SPAWN_SESSION: configuration["session_cpu_seconds"]}
        self._descriptors, self._open_files = configuration["descriptors"], configuration["open_files"]
        self._threads = (_limit_of_threads(),) * 2
        self._filter = child_filter
        self._streams = streams.Streams()
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        self._children: dict[int, tuple[int, int]] = {}  # pidfd -> (identifier, pid)
        self._room = _socket.CMSG_SPACE(3 * 4)

    def serve(self) -> NoReturn:
        control = self._control.fileno()
        while True:
            ready = [descriptor for descriptor, _ in self._poll.poll()]
            for descriptor in ready:  # deaths first: somebody waits for these results
                if descriptor != control:
                    self._reap(descriptor)
            if control in ready:
                self._obey()

    def _obey(self) -> None:
        message, ancillary, _, _ = self._control.recvmsg(_MESSAGE_BYTES, self._room)
        kind = message[:1]
        if kind in self._cpu:
            data = ancillary[0][2]
            descriptors = [int.from_bytes(data[i : i + 4], sys.byteorder) for i in (0, 4, 8)]
            self._spawn(kind, int.from_bytes(message[1:5], "little"), descriptors)
        elif kind == QUIT:  # the supervisor has killed the children
            for _, pid in self._children.values():
                os.waitpid(pid, 0)
            os._exit(0)
        else:  # end of file: the trainer is gone; the parent-death signal takes the children
            os._exit(0)

    def _spawn(self, kind: bytes, identifier: int, descriptors: list[int]) -> None:
        pid = self._fork()
        if pid == 0:
            self._become_child(kind, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        watch = os.pidfd_open(pid)
        self._children[watch] = (identifier, pid)
        self._poll.register(watch, select.POLLIN)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, pack("=i", watch))
        self._control.sendmsg([pack(REPORT, SPAWNED, identifier, pid, 0)], [rights])

    def _fork(self) -> int:
        """``os.fork``, as soon as the process limit allows it: a snippet that uses up all of them will end in time."""
        while True:
            try:
                return os.fork()
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENOMEM):
                    raise
            time.sleep(_NO_PROCESS_S)
            for descriptor, _ in self._poll.poll(0):
                if descriptor != self._control.fileno():
                    self._reap(descriptor)

    def _reap(self, watch: int) -> None:
        identifier, pid = self._children.pop(watch)
        self._poll.unregister(watch)
        os.close(watch)
        _, status, usage = os.wait4(pid, 0)
        cpu = int((usage.ru_utime + usage.ru_stime) * 1e6)
        self._control.send(pack(REPORT, EXITED, identifier, status, cpu))

    def _become_child(self, kind: bytes, descriptors: list[int]) -> NoReturn:
        """Apply the last confinement steps, wait for code, run it, exit. Never returns."""
        exit_code = 1
        try:
            for target, descriptor in enumerate(descriptors):
                os.dup2(descriptor, target)
            os.closerange(_FIRST_CLOSED, self._descriptors)
            # Its stdin is a pipe of its own that has ended. A shared /dev/null would carry the flags that one
            # snippet sets on it (F_SETFL) to the next one.
            nothing, feed = os.pipe()
            os.close(feed)
            resource.setrlimit(resource.RLIMIT_CPU, (self._cpu[kind],) * 2)
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._open_files,) * 2)
            resource.setrlimit(resource.RLIMIT_NPROC, self._threads)
            confine.die_with_parent(self._pid)
            if self._filter:
                self._filter.load()
            exit_code = (snippet.serve_session if kind == SPAWN_SESSION else snippet.serve)(nothing, self._streams)
        finally:
            os._exit(exit_code)
