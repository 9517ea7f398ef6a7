"""One user attacks: runs attacks one after the other and looks, after each, at what it left behind.

A program: it reads one JSON object (``Order``) and writes one JSON row per attack.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coevolve.sandbox.base import Limits, ToolResult
from coevolve.sandbox.pool import SandboxPool

from . import confinement
from .attack import OUTPUT_BYTES
from .surroundings import Surroundings, processes, state

WORKERS = 2
SPARES = WORKERS + 1
_LIMITS = {
    "plain": Limits(cpu_s=0.3, wall_s=1.5, memory_mb=128, output_bytes=OUTPUT_BYTES, open_files=64),
    "hasty": Limits(cpu_s=0.3, wall_s=0.4, memory_mb=128, output_bytes=OUTPUT_BYTES, open_files=64),
    "science": Limits(cpu_s=4.0, wall_s=20.0, memory_mb=256, output_bytes=OUTPUT_BYTES, open_files=64),
}
_PATIENCE_S = 10.0
_STEADY = 20


@dataclass(frozen=True)
class Order:
    """What a lane is to do: ``packages`` is the folder of numpy and sympy, ``folder`` a place of its own."""

    lane: str
    folder: str
    packages: str
    secret: str
    keys: list[str]


class Lane:
    """What attacks work with: pools, and surroundings with something worth stealing or breaking."""

    def __init__(self, order: Order) -> None:
        self.name = order.lane
        self.packages = order.packages
        self.surroundings = Surroundings(Path(order.folder), order.secret)
        self._pools: dict[str, SandboxPool] = {}
        self._closing = ExitStack()
        self._zygotes: set[int] = set()  # all there ever were: their pids are the sessions of their children
        self.heard: list[ToolResult] = []  # what this attack's snippets said
        self._descriptors = _descriptors()
        self._threads = threading.active_count()

    def pool(self, name: str = "plain") -> SandboxPool:
        """The pool of that name, made when it is first asked for."""
        if name not in self._pools:
            packages = {"preload": ("numpy", "sympy"), "environment": self.packages} if name == "science" else {}
            opened = self.opened(limits=_LIMITS[name], workers=WORKERS, **packages)
            self._pools[name] = pool = self._closing.enter_context(opened)
            pool.run("")
            eventually(self._is_settled, self._unsettled)
            self._descriptors, self._threads = _steady(_descriptors), threading.active_count()
        return self._pools[name]

    @contextmanager
    def opened(self, **how: Any) -> Iterator[SandboxPool]:
        """A pool for one attack; after it, nothing may be left of it."""
        with SandboxPool(**how) as pool:
            self.zygotes(pool)
            yield pool

    @property
    def hides(self) -> bool:
        """What may not be read is not even there: namespaces are in force."""
        return self.pool().layers["namespaces"].startswith("on")

    def zygote(self, pool: SandboxPool) -> int:
        """The pid of a pool's zygote, with the preloads if there are any; waits for it to be born."""
        return self.zygotes(pool)[0]

    def zygotes(self, pool: SandboxPool) -> list[int]:
        """The pids of all its zygotes; waits for them to be born."""
        eventually(lambda: None not in pool._supervisor.zygote_pids, "no zygote")
        pids = [pid for pid in pool._supervisor.zygote_pids if pid is not None]
        self._zygotes.update(pids)
        return pids

    def fill(self, text: str) -> str:
        """Put the names of this lane's surroundings into a snippet."""
        for name, value in self.surroundings.names.items():
            text = text.replace(f"@{name}@", value)
        return text

    def run(self, code: str, pool: str = "plain") -> ToolResult:
        """Run a snippet, filled in."""
        return self.hear(self.pool(pool).run(self.fill(code)))

    def hear(self, result: ToolResult) -> ToolResult:
        """Keep a result, to look for secrets in it."""
        self.heard.append(result)
        return result

    def look_around(self) -> None:
        """Everything is as it was: pools answer, nothing leaked, nobody was called, nobody and nothing is left."""
        for result in self.heard:
            assert self.surroundings.secret not in result.stdout + result.stderr, "a secret is out"
        self.heard.clear()
        for name, pool in self._pools.items():
            assert pool.run("print(6*7)").stdout == "42\n", f"the {name} pool does not answer"
        self.surroundings.check()
        eventually(self._is_settled, self._unsettled)
        eventually(
            lambda: _descriptors() == self._descriptors, lambda: f"descriptors {self._descriptors} {_descriptors()}"
        )
        assert threading.active_count() == self._threads, threading.enumerate()

    def _is_settled(self) -> bool:
        return not self._unsettled()

    def _unsettled(self) -> str:
        """Whom there should not be, or who is missing."""
        alive = [pid for pool in self._pools.values() for pid in self.zygotes(pool)]
        everybody = processes()
        # In namespaces a zygote has a process between us and it, which only waits
        between = {process.parent for process in everybody if process.pid in alive} - {os.getpid()}
        ours = [p for p in everybody if p.session in self._zygotes or p.parent == os.getpid()]
        found = [process for process in ours if process.pid not in between]
        expected = len(alive) * (1 + SPARES)
        dead = [process for process in found if process.state == "Z"]
        strangers = {process.session for process in found} - set(alive)
        right = len(found) == expected and not dead and not strangers
        return "" if right else f"zygotes {alive}, {expected} processes expected, found {found}"

    def close(self) -> None:
        self._closing.close()
        eventually(self._is_gone, "processes outlive their pools")

    def _is_gone(self) -> bool:
        return not any(state(pid) for pid in self._zygotes)


def eventually(condition: Callable[[], bool], problem: str | Callable[[], str]) -> None:
    """Wait for a condition; AssertionError with the problem when it does not come true."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, problem if isinstance(problem, str) else problem()
        time.sleep(0.002)


def _steady(measure: Callable[[], int]) -> int:
    """A number that has stopped changing: the pool's thread may still be closing what it handed over."""
    seen = [measure()]
    while len(seen) < _STEADY or len(set(seen[-_STEADY:])) > 1:
        time.sleep(0.005)
        seen.append(measure())
    return seen[-1]


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def main() -> None:
    order = Order(**json.loads(sys.stdin.readline()))
    confinement.enter(order.lane, order.packages)
    os.environ["COEVOLVE_ATTACK_SECRET"] = order.secret
    os.chdir(order.folder)
    from .catalogue import ATTACKS

    lane = Lane(order)
    lane.pool("plain")
    for attack in ATTACKS:
        if attack.key in order.keys:
            start = time.monotonic()
            problem = ""
            try:
                attack.act(lane)
                lane.look_around()
            except Exception:
                problem = "\n".join(line[:1500] for line in traceback.format_exc().splitlines()[-12:])
            print(json.dumps({"key": attack.key, "problem": problem, "seconds": time.monotonic() - start}), flush=True)
    lane.close()
    lane.surroundings.close()


if __name__ == "__main__":
    main()
