"""What a snippet may read: the standard library, the folder of packages, and nothing else of the file system.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Iterable

CONTENTS, NAMES = "contents", "names"
_NOT_STANDARD = ("site-packages", "dist-packages")
_TIME_ZONES = "/usr/share/zoneinfo"


def directory() -> str:
    """The standard library's folder."""
    return os.path.dirname(os.__file__)


def preload(names: Iterable[str], packages: str) -> None:
    """Make the folder of packages importable, and import some of it. Each of these does once what it puts off
    to its first use, so that snippets need not.

    Raises:
        ImportError: a package cannot be imported.
    """
    if packages:
        sys.path.append(packages)
    for name in names:
        importlib.import_module(name)
    if "numpy" in names:
        _warm_numpy()
    if "sympy" in names:
        _warm_sympy()


def _warm_numpy() -> None:
    """Load the parts it loads late; let it draw the same numbers in every snippet, as ``random`` does."""
    for part in ("numpy.random", "numpy.linalg", "numpy.fft"):
        importlib.import_module(part)
    sys.modules["numpy.random"].seed(0)


def _warm_sympy() -> None:
    """Fill the caches of its solver."""
    sympy = sys.modules["sympy"]
    unknown = sympy.Symbol("x")
    sympy.solve(unknown**2 - 5 * unknown + 6)
    sympy.factorint(360)


def readable(packages: str) -> list[tuple[str, str]]:
    """Paths and what may be read of them: the CONTENTS (of a file or a whole tree) or the NAMES in a folder.

    The import system has to list the library folder, so the names of packages installed next to it can be
    listed too; their contents cannot be read.
    """
    home = directory()
    inside = [os.path.join(home, name) for name in os.listdir(home) if name not in _NOT_STANDARD]
    extensions = [path for path in sys.path if path not in (home, packages) and os.path.isdir(path)]
    zones = [_TIME_ZONES] if os.path.isdir(_TIME_ZONES) else []
    contents = [*inside, *extensions, *zones, *_shared_libraries(extensions), packages]
    return [(home, NAMES), *((path, CONTENTS) for path in contents if os.path.exists(path))]


def _shared_libraries(folders: list[str]) -> list[str]:
    """Files outside the library that the standard extension modules link to (libssl, libffi ...).

    A short-lived process loads every extension's library and reads its own memory map.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write_end, "\n".join(_mapped_after_loading(folders)).encode()[:65536])
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as pipe:
        found = pipe.read().split("\n")
    os.waitpid(pid, 0)
    return [path for path in found if path]


def _mapped_after_loading(folders: list[str]) -> list[str]:
    for folder in folders:
        for name in os.listdir(folder):
            if name.endswith(".so"):
                try:
                    ctypes.CDLL(os.path.join(folder, name), os.RTLD_LAZY)
                except OSError:  # an extension whose library is not installed cannot be imported anyway
                    continue
    with open("/proc/self/maps", encoding="utf-8") as maps:
        fields = (line.rstrip("\n").split(None, 5) for line in maps)
        mapped = {field[5] for field in fields if len(field) == 6 and field[5].startswith("/")}
    return [*sorted(path for path in mapped if os.path.dirname(path) not in folders), "/etc/ld.so.cache"]
