"""What a snippet is told, in one line, when it tries what is refused here: other processes, written files, the network.

The kernel refuses all of this, whatever happens here: "Operation not permitted", for some calls only a result of -1 or
a failure that looks temporary. Before it is asked, these functions say what is the matter, by an error of the same
kind; where the call would only return a number, on stderr.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import os
import sys
from _socket import EAI_AGAIN, gaierror
from errno import EPERM
from traceback import TracebackException
from typing import Any

HERE = "<sandbox>"  # the file name of what stands in for the interpreter's own functions
FILES = "files cannot be written or changed here"
PROCESSES = "no other process can be started here"
NETWORK = "there is no network here"
_FILES_NOR_PROCESSES = f"{FILES}, and {PROCESSES}"  # how subprocess begins to silence a program

# By audit event: the words, and which of the event's arguments names what was meant (-1: none does).
_REFUSED = {
    **dict.fromkeys(
        ("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.utime"),
        (FILES, 0),
    ),
    **dict.fromkeys(("os.chmod", "os.chown", "os.setxattr", "os.removexattr"), (FILES, 0)),
    **dict.fromkeys(("os.exec", "os.posix_spawn", "subprocess.Popen"), (PROCESSES, 0)),
    **dict.fromkeys(("os.fork", "os.forkpty"), (PROCESSES, -1)),
}
_LOOK_UPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_NEITHER_NETWORK = (-1, 1)  # that of a given descriptor, which is there already; Unix sockets, which come in pairs


def of_the_sandbox(function: Any) -> Any:
    """Give a function a file name that says what it is, in tracebacks that a snippet writes itself."""
    function.__code__ = function.__code__.replace(co_filename=HERE)
    return function


@of_the_sandbox
def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook.

    Raises:
        OSError: the event is the beginning of something that would be refused, with the same error.
    """
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not (isinstance(flags, int) and flags & _CHANGES):
            return
        words = _FILES_NOR_PROCESSES if path == os.devnull else FILES
    elif event in _REFUSED:
        words, place = _REFUSED[event]
        path = arguments[place] if place >= 0 else None
    elif event == "socket.__new__" and arguments[1] not in _NEITHER_NETWORK:
        words, path = NETWORK, None
    elif event in _LOOK_UPS and _is_name(arguments[0]):
        raise gaierror(EAI_AGAIN, f"Temporary failure in name resolution ({NETWORK}): {arguments[0]!r}")
    elif event == "os.system":
        print(f"os.system: {os.strerror(EPERM)} ({PROCESSES}): {os.fsdecode(arguments[0])!r}", file=sys.stderr)
        return
    else:
        return
    words = f"{os.strerror(EPERM)} ({words})"
    raise PermissionError(EPERM, words) if path is None else PermissionError(EPERM, words, path)


def _is_name(host: object) -> bool:
    """Of a machine; an address is looked up without asking anybody."""
    return isinstance(host, str) and ":" not in host and any(map(str.isalpha, host))


def hide(told: TracebackException) -> None:
    """Leave the sandbox's own functions out of a traceback, and out of those of all errors that belong to it."""
    todo, seen = [told], set()
    while todo:
        error = todo.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        error.stack[:] = [frame for frame in error.stack if frame.filename != HERE]
        todo += [other for other in (error.__cause__, error.__context__, *(error.exceptions or ())) if other]
