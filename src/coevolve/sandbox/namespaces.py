"""An optional layer: separate namespaces for the zygote, entered once, before it forks the first child.

In them there is no network but a loopback that is down, no other process, and no file but those that snippets may read:
what Landlock and the system call filter forbid to open is not even visible. They are optional because containers and
some distributions do not let a program create them.

They are tried in a separate process, so that a failure leaves nothing behind. If it works, that process becomes the
zygote, and its parent only waits for its end.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import ctypes
import os
import select
from typing import NamedTuple

from . import confine
from .layers import ABSENT, ON
from .layout import layout
from .syscalls import numbers

_NEW_MOUNTS, _NEW_NET, _NEW_IPC, _NEW_NAMES, _NEW_PIDS = 0x20000, 0x40000000, 0x8000000, 0x4000000, 0x20000000
_NEW_USER = 0x10000000
_SIGCHLD = 17
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_DETACH = 2
# statvfs flag -> mount flag: what a mount already is must be said again when it is remounted
_KEPT = {2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}
# Folders that exist nearly everywhere and that nothing is imported from: the new root is put together there
_SPOTS = ("/mnt", "/media", "/srv", "/boot", "/opt", "/home", "/sys")
_REASON_BYTES = 4096
OUTSIDE = 0  # what a parent outside of the pid namespace is called
_HOST = b"sandbox"

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Entry(NamedTuple):
    """What came of it. ``life`` is a pipe that ends with the process that waits for this one; -1 when there is
    none, because the namespaces are not there.
    """

    state: str
    life: int


def enter(machine: str, readable: list[str]) -> Entry:
    """Go on in namespaces of our own, in which only the readable paths exist; or as before, saying why."""
    root = os.geteuid() == 0
    flags = _NEW_MOUNTS | _NEW_NET | _NEW_IPC | _NEW_NAMES | _NEW_PIDS | (0 if root else _NEW_USER)
    user, group = os.getuid(), os.getgid()
    result, result_write = os.pipe()
    life, life_write = os.pipe()
    try:
        pid = _clone(machine, flags)
    except OSError as error:
        for descriptor in (result, result_write, life, life_write):
            os.close(descriptor)
        return Entry(f"{ABSENT}{error}", -1)
    if pid == 0:
        confine.end_with_parent()
        os.setsid()
        os.close(result)
        os.close(life_write)
        try:
            if not root:
                _map_user(user, group)
            _check(_libc.sethostname(_HOST, ctypes.c_size_t(len(_HOST))), "sethostname")
            _change_root(machine, readable)
            os.write(result_write, b"ok")
        except BaseException as error:
            os.write(result_write, str(error).encode()[:_REASON_BYTES])
            os._exit(1)
        os.close(result_write)
        return Entry(f"{ON}: mount, network, ipc, uts, pid{'' if root else ', user'}", life)
    os.close(result_write)
    os.close(life)
    reason = os.read(result, _REASON_BYTES)
    os.close(result)
    if reason == b"ok":
        _wait_for(pid, life_write)
    os.close(life_write)
    os.waitpid(pid, 0)
    return Entry(f"{ABSENT}{reason.decode() or 'the first process ended'}", -1)


def is_orphan(life: int) -> bool:
    """Whether the process that waits for us is gone; in a pid namespace ``getppid`` does not tell."""
    poll = select.poll()
    poll.register(life, select.POLLIN)
    return bool(poll.poll(0))


def _wait_for(pid: int, life: int) -> None:
    """Be nothing but the zygote's parent: hold no descriptor, end when it ends."""
    os.closerange(0, life)
    os.closerange(life + 1, 4096)
    _, status = os.waitpid(pid, 0)
    os._exit(min(abs(os.waitstatus_to_exitcode(status)), 127))


def _clone(machine: str, flags: int) -> int:
    """``fork`` into new namespaces. There is one thread here, so what libc's fork does beyond that is not missed."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid: int = _libc.syscall(*map(ctypes.c_long, (numbers(machine)["clone"], flags | _SIGCHLD, 0, 0, 0, 0)))
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    return _check(pid, "clone")


def _check(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [text and text.encode() for text in (source, target, kind, options)]
    _check(_libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3]), f"mount {target}")


def _map_user(user: int, group: int) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _change_root(machine: str, readable: list[str]) -> None:
    """Put together a root that holds the readable paths and nothing else, and move there."""
    parts = layout(readable)
    spot = _spot(parts.places)
    _mount("none", "/", None, _REC | _PRIVATE)
    _mount("sandbox", spot, "tmpfs", _NOSUID | _NODEV, "mode=755,size=4m")
    for here, target in parts.links:
        os.makedirs(spot + os.path.dirname(here), exist_ok=True)
        os.symlink(target, spot + here)
    for place in parts.places:
        _bind(spot, place)
    for folder in parts.hidden:
        _mount("sandbox", spot + folder, "tmpfs", _RDONLY | _NOSUID | _NODEV, "mode=755,size=4k")
    os.chdir(spot)
    _check(_libc.syscall(ctypes.c_long(numbers(machine)["pivot_root"]), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _DETACH), "umount2")
    os.chdir("/")
    _mount(None, "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def _spot(places: list[str]) -> str:
    for spot in _SPOTS:
        if os.path.isdir(spot) and not any(place == spot or place.startswith(f"{spot}/") for place in places):
            return spot
    raise OSError(f"none of {', '.join(_SPOTS)} is free to put the new root together")


def _bind(root: str, real: str) -> None:
    """Make a file or folder appear below the root, read only."""
    if os.path.isdir(real):
        os.makedirs(root + real, exist_ok=True)
    else:
        os.makedirs(root + os.path.dirname(real), exist_ok=True)
        os.close(os.open(root + real, os.O_CREAT | os.O_RDONLY, 0o444))
    _mount(real, root + real, None, _BIND | _REC)
    have = os.statvfs(root + real).f_flag
    kept = sum(flag for known, flag in _KEPT.items() if have & known)
    _mount(None, root + real, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV | kept)
