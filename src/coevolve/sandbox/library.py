"""What a snippet may read: the standard library, the folder of packages, and nothing else of the file system.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Iterable

# What numeric libraries read at import: more threads than one would take the address space of a snippet for themselves
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
CONTENTS, NAMES = "contents", "names"
_NOT_STANDARD = ("site-packages", "dist-packages")
_TIME_ZONES = "/usr/share/zoneinfo"
# Extension modules that are of no use to a snippet, and costly to load: a window, a directory service, tests
_USELESS = ("_tkinter.", "nis.", "_test", "_xx", "xx")


def directory() -> str:
    """The standard library's folder."""
    return os.path.dirname(os.__file__)


def preload(names: Iterable[str], packages: str) -> None:
    """Make the package folder importable and import some of it. Each import does its lazy initialisation now, so that
    snippets need not.

    Raises:
        ImportError: a package cannot be imported.
    """
    if packages:
        sys.path.append(packages)
    for name in names:
        importlib.import_module(name)
    warm = {"numpy": _warm_numpy, "sympy": _warm_sympy, "matplotlib": _warm_matplotlib}
    for name in warm.keys() & set(names):
        warm[name]()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed(0)  # again: what was imported may have drawn numbers


def _warm_numpy() -> None:
    """Load its lazy parts."""
    for part in ("numpy.random", "numpy.linalg", "numpy.fft"):
        importlib.import_module(part)


def _warm_matplotlib() -> None:
    """Look for fonts, and get ready to draw."""
    importlib.import_module("matplotlib.pyplot")


def _warm_sympy() -> None:
    """Fill the caches of its solver."""
    sympy = sys.modules["sympy"]
    unknown = sympy.Symbol("x")
    sympy.solve(unknown**2 - 5 * unknown + 6)
    sympy.factorint(360)


def foreign_folders() -> list[str]:
    """What is in the standard library's folder but not of it."""
    return [path for name in _NOT_STANDARD if os.path.isdir(path := os.path.join(directory(), name))]


def readable(packages: str, libraries: Iterable[str]) -> list[tuple[str, str]]:
    """Paths and what may be read of them: the CONTENTS (of a file or a whole tree) or the NAMES in a folder.

    The import system has to list the library folder, so the names of packages installed next to it can be
    listed too; their contents cannot be read.

    Args:
        packages: the folder of packages; "" for none.
        libraries: names of the shared libraries outside of it that its extension modules are linked to.
    """
    home = directory()
    inside = [os.path.join(home, name) for name in os.listdir(home) if name not in _NOT_STANDARD]
    extensions = [path for path in sys.path if path not in (home, packages) and os.path.isdir(path)]
    zones = [_TIME_ZONES] if os.path.isdir(_TIME_ZONES) else []
    contents = [*inside, *extensions, *zones, *_shared_libraries(extensions, libraries), packages]
    return [(home, NAMES), *((path, CONTENTS) for path in contents if os.path.exists(path))]


def _shared_libraries(folders: list[str], libraries: Iterable[str]) -> list[str]:
    """Files outside the library that the standard extension modules are linked to (libssl, libffi ...), and those of
    the given names.

    A short-lived process loads every extension's library and looks at what came with it.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write_end, "\n".join(_mapped_after_loading(folders, libraries)).encode()[:65536])
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as pipe:
        found = pipe.read().split("\n")
    os.waitpid(pid, 0)
    return [path for path in found if path]


def _mapped_after_loading(folders: list[str], libraries: Iterable[str]) -> list[str]:
    """The names by which the loader found the libraries (often links), and the files these are."""
    names = [(folder, name) for folder in folders for name in os.listdir(folder)]
    extensions = [os.path.join(*pair) for pair in names if pair[1].endswith(".so") and not pair[1].startswith(_USELESS)]
    for library in (*extensions, *libraries):
        try:
            ctypes.CDLL(library, os.RTLD_LAZY)
        except OSError:  # an extension whose library is not installed cannot be imported anyway
            continue
    with open("/proc/self/maps", encoding="utf-8") as maps:
        fields = (line.rstrip("\n").split(None, 5) for line in maps)
        mapped = {field[5] for field in fields if len(field) == 6 and field[5].startswith("/")}
    paths = sorted(mapped | _names_of_libraries())
    return [*(path for path in paths if os.path.dirname(path) not in folders), "/etc/ld.so.cache"]


def _names_of_libraries() -> set[str]:
    class Information(ctypes.Structure):
        _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))

    names = set()

    def note(information: ctypes._Pointer[Information], *_: object) -> int:
        names.add(os.fsdecode(information.contents.name or b""))
        return 0

    visitor = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Information), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.CDLL(None).dl_iterate_phdr(visitor(note), None)
    return {name for name in names if name.startswith("/")}
