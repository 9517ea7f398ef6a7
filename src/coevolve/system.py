"""This machine: cores that a process may use, the cache folder, network addresses, and signals of other processes."""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``; a name other than localhost counts as reachable."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_ip_address(host: str) -> bool:
    """Whether ``host`` is a numeric address, which needs no name server."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def http_url(host: str, port: int) -> str:
    """``http://host:port``, with brackets around an IPv6 address."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def why_not_listening(error: OSError) -> tuple[str, str]:
    """Why a server cannot listen at an address that its options ``--host`` and ``--port`` name, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return "the port is in use", "choose another --port (0: any free one)"
    return error.strerror or str(error), "name an address of this machine with --host"


def usable_cores() -> int:
    """Cores that the scheduler grants this process, where the system reports it (Linux); otherwise all cores. At least
    1.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def cache_folder(part: str) -> Path:
    """A folder below ``XDG_CACHE_HOME`` (``~/.cache`` without it); it need not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()) / "coevolve" / part


def let_waiting_threads_sleep() -> None:
    """Have waiting threads of torch and tokenizers leave the cores to workers; read when these are imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Signals that stop a run reach this process after the block, and the processes that the block starts never.

    They finish what they are at: the main process alone decides when a run stops, and their pipe ends with it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        resource_tracker.ensure_running()  # it ignores the other two, and its start would lift their block
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def main_hidden() -> Iterator[None]:
    """Processes that the block starts do not run the program anew that starts them, as spawned ones do.

    They need nothing of it, and a script that starts a run would start another one in every worker.
    """
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program
