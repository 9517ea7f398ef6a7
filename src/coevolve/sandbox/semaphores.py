"""The locks of ``multiprocessing``, for the threads of one process.

Those of the standard library are named semaphores: files in ``/dev/shm``, which a snippet cannot make. It cannot make
processes to share them with either, so locks between threads do the same. Pools of threads (``multiprocessing.dummy``,
``multiprocessing.pool.ThreadPool``) need them.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any

RECURSIVE_MUTEX, SEMAPHORE = 0, 1


class SemLock:
    """Stands in for ``_multiprocessing.SemLock``, with its attributes, methods and errors.

    Args:
        kind: RECURSIVE_MUTEX, which its owner may acquire again, or SEMAPHORE.
        value: how often it can be acquired now.
        maxvalue: the highest value that :meth:`release` may lead to.
        name: what other processes would find it by; there are none.
        unlink: whether the name is given up at once; it is.

    Raises:
        ValueError: there is no such kind, or the value is out of range.
    """

    SEM_VALUE_MAX = 0x7FFFFFFF

    def __init__(self, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> None:
        if kind not in (RECURSIVE_MUTEX, SEMAPHORE):
            raise ValueError("unrecognized kind")
        if not 0 <= value <= self.SEM_VALUE_MAX:
            raise ValueError("invalid value")
        self.kind, self.maxvalue, self.name, self.handle = kind, maxvalue, None, id(self)
        self._value = value
        self._changed = threading.Condition(threading.Lock())
        self._owner, self._depth = 0, 0  # the last thread to acquire it, and how often it has more than released it

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take one, and wait for it if told so; whether it was taken."""
        if self.kind == RECURSIVE_MUTEX and self._is_mine():
            self._depth += 1
            return True
        patience = (None if timeout is None else max(0.0, timeout)) if block else 0.0
        with self._changed:
            if not self._changed.wait_for(lambda: self._value > 0, patience):
                return False
            self._value -= 1
            self._owner, self._depth = threading.get_ident(), self._depth + 1
        return True

    def release(self) -> None:
        """Give one back.

        Raises:
            AssertionError: a recursive one belongs to another thread.
            ValueError: nobody had taken it.
        """
        if self.kind == RECURSIVE_MUTEX:
            if not self._is_mine():
                raise AssertionError("attempt to release recursive lock not owned by thread")
            if self._depth > 1:
                self._depth -= 1
                return
        with self._changed:
            if self._value >= self.maxvalue:
                raise ValueError("semaphore or lock released too many times")
            self._value += 1
            self._depth -= 1
            self._changed.notify()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _count(self) -> int:
        return self._depth

    def _is_mine(self) -> bool:
        return self._depth > 0 and self._owner == threading.get_ident()

    def _get_value(self) -> int:
        return self._value

    def _is_zero(self) -> bool:
        return self._value == 0

    def _after_fork(self) -> None:
        self._depth = 0


def install() -> None:
    """Put it into the module that ``multiprocessing`` takes its locks from."""
    module: Any = importlib.import_module("_multiprocessing")
    SemLock.__module__ = module.__name__
    module.SemLock = SemLock
