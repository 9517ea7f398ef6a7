"""What a snippet might steal, change or call: files, names and listeners, and whether they are untouched."""

from __future__ import annotations

import hashlib
import os
import pwd
import select
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import coevolve


class Process(NamedTuple):
    pid: int
    state: str
    parent: int
    session: int


def processes() -> list[Process]:
    """All processes of the machine."""
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [one for one in found if one]


def process(pid: int) -> Process | None:
    """One of them; None when there is none of that number."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(pid, words[0], int(words[1]), int(words[3]))


def state(pid: int) -> str:
    """The one-letter state of a process; "" when there is none."""
    found = process(pid)
    return found.state if found else ""


class Surroundings:
    """A folder that anybody may write to, with a secret in it, and sockets that anybody may call.

    Args:
        folder: empty.
        secret: what must not get out. It is in a file, in our environment and in our memory.
    """

    def __init__(self, folder: Path, secret: str) -> None:
        self.folder, self.secret = folder, secret
        self._token = folder.name.replace("-", "_")
        self._open = ExitStack()
        self._listeners = self._listen()
        self._make_files()
        package = Path(coevolve.__file__).parent
        self.names = {
            "DIR": str(folder),
            "TOKEN": self._token,
            "HOME": pwd.getpwuid(0).pw_dir,  # of the user that nobody may become
            "PROC_ROOT": "root",  # the kernel's name for a process' root folder, below /proc/PID
            "CANARY": str(folder / "canary"),
            "VICTIM": str(folder / "victim"),
            "TRAINER": str(os.getpid()),
            "PACKAGE": str(package),
            "TESTS": str(Path(__file__).parent),
            "TCP": str(self._listeners[0].getsockname()[1]),
            "UDP": str(self._listeners[1].getsockname()[1]),
        }
        self._watched = [
            folder.parent,
            Path("/dev/shm"),
            Path("/var/tmp"),
            Path("/run"),
            Path("/"),
            Path.home(),
            package,
        ]
        self._watched += [Path(os.__file__).parent, Path(tempfile.gettempdir())]
        self._before = self._snapshot()

    def _listen(self) -> list[socket.socket]:
        places = [
            (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            (socket.AF_UNIX, socket.SOCK_STREAM, str(self.folder / "stream")),
            (socket.AF_UNIX, socket.SOCK_DGRAM, str(self.folder / "datagram")),
            (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self._token}-stream"),
            (socket.AF_UNIX, socket.SOCK_DGRAM, f"\0{self._token}-datagram"),
        ]
        listeners = []
        for family, kind, place in places:
            listener = self._open.enter_context(socket.socket(family, kind))
            listener.bind(place)
            if kind == socket.SOCK_STREAM:
                listener.listen()
            listeners.append(listener)
        return listeners

    def _make_files(self) -> None:
        for name, text in (
            ("canary", self.secret),
            ("victim", "whole"),
            (f"{self._token}_module.py", "print('imported')"),
        ):
            (self.folder / name).write_text(text)
        os.symlink("/etc/passwd", self.folder / "link")
        (self.folder / "sub").mkdir()
        for path in self.folder.iterdir():
            if not path.is_symlink():
                path.chmod(0o777 if path.is_dir() else 0o666)

    def _snapshot(self) -> dict[str, object]:
        """Everything about every file in the folder but when it was read, and all names that bear our token."""
        seen: dict[str, object] = {}
        for path in [self.folder, *sorted(self.folder.rglob("*"))]:
            info = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
            extra = tuple(os.listxattr(path, follow_symlinks=False))
            seen[str(path)] = (info.st_mode, info.st_size, info.st_mtime_ns, info.st_uid, info.st_nlink, content, extra)
        for place in self._watched:
            if os.access(place, os.R_OK):
                seen.update(
                    {f"{place}: {name}": "" for name in os.listdir(place) if self._token in name.replace("-", "_")}
                )
        return seen

    def check(self) -> None:
        """Raises AssertionError when a file has changed or appeared, or a listener was called."""
        now = self._snapshot()
        names = now.keys() | self._before.keys()
        changed = {name: (self._before.get(name), now.get(name)) for name in names}
        assert now == self._before, {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
        called, _, _ = select.select(self._listeners, [], [], 0)
        assert not called, f"somebody was called: {called}"

    def close(self) -> None:
        self._open.close()
