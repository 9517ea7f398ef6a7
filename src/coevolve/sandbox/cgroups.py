"""An optional layer around all snippets of a pool together: a control group (version 2) that bounds memory and pids.

Each snippet's own limit is its address space. This bounds what all of them use together, including memory without an
address (pipe buffers, page tables); beyond it the kernel kills a snippet, not the training run. It needs a group whose
subtree this user may change and to which the two controllers are already delegated, as in a systemd user session;
nothing above the pool's own group is ever changed."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from coevolve.sandbox.layers import ABSENT, ON

_CONTROLLERS = ("memory", "pids")
_PREFIX = "coevolve-sandbox-"
_INTERPRETERS_BYTES = 512 << 20  # for the processes that snippets are forked from, old and new, with their packages
_THREADS = 128  # of one snippet, that a group of them should have room for
_PATIENCE_S = 1.0


@dataclass
class Group:
    """The control group of one pool, or the reason why there is none.

    Args:
        path: its folder; None without one.
        state: of the layer.
    """

    path: Path | None
    state: str

    def add(self, pid: int) -> None:
        """Put a process, and all that it will ever fork, into the group."""
        if self.path:
            try:
                (self.path / "cgroup.procs").write_text(str(pid))
            except OSError as error:
                self.remove()
                self.state = f"{ABSENT}a process cannot be moved into {self.path}: {error.strerror}"
                self.path = None

    def remove(self) -> None:
        """Remove the group; its processes have been killed."""
        if self.path:
            deadline = time.monotonic() + _PATIENCE_S
            while self.path.exists() and time.monotonic() < deadline:
                try:
                    os.rmdir(self.path)
                except OSError:  # the kernel is not done with the last of them
                    time.sleep(0.01)


def make(children: int, memory_bytes: int, *, controllers: tuple[str, ...] = _CONTROLLERS) -> Group:
    """Create a group with room for this many children of this much memory, below the nearest group that allows it.

    Args:
        children: snippets and sessions at once.
        memory_bytes: of each.
        controllers: that have to be delegated.
    """
    try:
        parent = _parent(_mount_point(), _own_group(), controllers)
        path = parent / f"{_PREFIX}{os.getpid()}-{time.monotonic_ns()}"
        _remove_leftovers(parent)
        path.mkdir()
    except OSError as error:
        return Group(None, f"{ABSENT}{error.strerror or error}")
    memory, processes = _INTERPRETERS_BYTES + children * memory_bytes, children * _THREADS
    try:
        if "memory" in controllers:
            (path / "memory.max").write_text(str(memory))
        if "pids" in controllers:
            (path / "pids.max").write_text(str(processes))
    except OSError as error:
        path.rmdir()
        return Group(None, f"{ABSENT}{error}")
    return Group(path, f"{ON}: {memory >> 20} MiB and {processes} processes for all snippets together")


def _mount_point() -> tuple[Path, str]:
    """Where cgroup v2 is mounted, and which group is at the top of the mount."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields[fields.index("-") + 1] == "cgroup2":
            return Path(fields[4]), fields[3]
    raise OSError("control groups of version 2 are not mounted")


def _own_group() -> str:
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::")
    raise OSError("this process is in no control group of version 2")


def _parent(mount: tuple[Path, str], own: str, controllers: tuple[str, ...]) -> Path:
    """The nearest group, from our own upwards, that delegates the controllers and lets this user create groups."""
    top, shown = mount
    here = top / os.path.relpath(own, shown)
    folders = [here, *here.parents]
    reasons = []
    for folder in folders[: folders.index(top) + 1] if top in folders else []:
        delegated = set((folder / "cgroup.subtree_control").read_text(encoding="ascii").split())
        lacking = [name for name in controllers if name not in delegated]
        if lacking:
            reasons.append(f"{folder} does not delegate {' and '.join(lacking)}")
        elif not (os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)):
            reasons.append(f"{folder} is not writable by this user")
        else:
            return folder
    raise OSError("; ".join(reasons[:2]) or f"our group {own} is not below the mounted {shown}")


def _remove_leftovers(parent: Path) -> None:
    """Empty groups of trainers that were killed."""
    for folder in parent.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not os.path.exists(f"/proc/{pid}"):
            with contextlib.suppress(OSError):  # somebody else's, or not empty
                folder.rmdir()
