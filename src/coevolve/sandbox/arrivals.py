"""What is done when certain packages are imported, wherever that happens: in the zygote, which preloads them, or in a
snippet. So that it makes no difference but for the time.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_NO_FOLDER = "/"


def _seed(numbers: Any) -> None:
    """Every snippet draws the same numbers, as with ``random``."""
    numbers.seed(0)


def _keep_no_settings() -> None:
    """matplotlib refuses to be imported unless it finds a folder to write to, in which it looks for settings and wants
    to keep a list of fonts. It is made to believe in one, and not to complain that nothing can be kept there.
    """
    os.environ["MPLCONFIGDIR"] = _NO_FOLDER
    really = os.access

    def access(path: Any, mode: int, **how: Any) -> bool:
        return (mode == os.W_OK and path == _NO_FOLDER) or really(path, mode, **how)

    os.access = access
    import logging

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


_BEFORE: dict[str, Callable[[], None]] = {"matplotlib": _keep_no_settings}
_AFTER: dict[str, Callable[[ModuleType], None]] = {"numpy.random": _seed}


class Arrivals:
    """A finder for ``sys.meta_path`` that finds only what something is to be done for."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As the import system calls it."""
        if name not in _BEFORE and name not in _AFTER:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and name in _BEFORE:
            _BEFORE.pop(name)()
        if spec and spec.loader and name in _AFTER:
            load: Any = spec.loader
            run = load.exec_module

            def run_and_do(module: ModuleType) -> None:
                run(module)
                _AFTER[name](module)

            load.exec_module = run_and_do
        return spec


def watch() -> None:
    """From now on, in this process and those forked from it."""
    sys.meta_path.insert(0, Arrivals)
