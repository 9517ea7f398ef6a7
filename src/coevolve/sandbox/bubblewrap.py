"""bubblewrap around the zygote: isolates the file system where there is no Landlock and we may not create namespaces.

Such machines have old kernels, do not allow ordinary users to create namespaces, and have a set-uid ``bwrap`` that does
it for them. Elsewhere it adds nothing: without the set-uid bit it may do no more than we may."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from coevolve.sandbox.layout import layout

_PATIENCE_S = 20.0
_NAMESPACES = ("--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-pid")


def command(readable: list[str]) -> list[str] | None:
    """The prefix of a command that makes it see only the readable paths; None without a ``bwrap``.

    The zygote's own modules are added to these: in there, they are read.
    """
    program = shutil.which("bwrap")
    if program is None:
        return None
    parts = layout([*readable, str(Path(__file__).resolve().parent)])
    words = [program, *_NAMESPACES, "--as-pid-1", "--die-with-parent", "--chdir", "/"]
    for here, target in parts.links:
        words += ["--symlink", target, here]
    for place in parts.places:
        words += ["--ro-bind", place, place]
    for folder in parts.hidden:
        words += ["--tmpfs", folder, "--remount-ro", folder]
    # A set-uid program loses this on its way
    return [*words, "--setenv", "MALLOC_ARENA_MAX", "1", "--remount-ro", "/", "--"]


def problem(wrapped: list[str]) -> str:
    """Why a command that begins with :func:`command` cannot be run; "" when it can."""
    try:
        done = subprocess.run(wrapped, env={}, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
    return said or f"exit code {done.returncode}" if done.returncode else ""
