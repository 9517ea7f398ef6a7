"""Keeps a pool busy with snippets of known ends, kills its interpreters meanwhile, and counts what comes back."""

from __future__ import annotations

import gc
import math
import os
import random
import signal
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

import process_table
from soak_snippets import Cells, Good, Hostile, cells, good, hostile

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Status, ToolResult
from coevolve.sandbox.pool import SandboxPool

_LOST_S = 60.0  # nothing comes back for so long: what is in flight is lost
_ATTEMPTS = 20
_EXAMPLES = 5
_LOOKS, _QUIET = 300, 10  # each a tenth of a second: on a busy machine, an interpreter takes seconds to start

Snippet = Good | Hostile | Cells


@dataclass(frozen=True, slots=True)
class Flight:
    """One attempt at a snippet, or at the cells of a session from the first one on."""

    number: int
    snippet: Snippet
    attempt: int = 1
    step: int = 0
    since: float = field(default_factory=time.monotonic)

    @property
    def session(self) -> str | None:
        return f"{self.number}.{self.attempt}" if isinstance(self.snippet, Cells) else None

    @property
    def part(self) -> Good | Hostile:
        """What is running."""
        return self.snippet.parts[self.step] if isinstance(self.snippet, Cells) else self.snippet

    @property
    def next_cell(self) -> Flight | None:
        """The session's next cell, if there is one."""
        over = not isinstance(self.snippet, Cells) or self.step + 1 == len(self.snippet.parts)
        return None if over else replace(self, step=self.step + 1)


@dataclass(frozen=True, slots=True)
class Level:
    """What the supervising process holds while nothing runs."""

    descriptors: int
    memory_mb: float
    zombies: int


@dataclass(slots=True)
class Tally:
    """What was counted; the examples are for people."""

    good: int = 0
    hostile: int = 0
    sessions: int = 0
    sessions_lost: int = 0
    wrong: int = 0
    odd: int = 0
    infra: int = 0
    lost: int = 0
    kills: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, what: str, snippet: Snippet, outcome: object) -> None:
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{what}: {str(snippet)[:300]} -> {str(outcome)[:600]}")


@dataclass(frozen=True, slots=True)
class Mixture:
    """What the snippets are.

    Args:
        hostile: the share of hostile ones.
        sessions: the share of sessions, each of some cells.
        in_flight: how many are submitted before one has ended.
        kill_every: mean seconds between kills of an interpreter; 0 for none.
        seed: which are chosen, and when is killed.
    """

    hostile: float
    sessions: float
    in_flight: int
    kill_every: float
    seed: int


class Soak:
    """Feeds one pool, with a fixed number of snippets in flight.

    Args:
        pool: its limits should be short, hostile snippets use them up.
        mixture: what it is fed.
    """

    def __init__(self, pool: SandboxPool, mixture: Mixture) -> None:
        self.tally = Tally()
        self.leaders: set[int] = set()  # interpreters, living or with survivors; each kernel session is led by one
        self._pool, self._mixture = pool, mixture
        self._chance = random.Random(mixture.seed)
        self._ended: SimpleQueue[tuple[Flight, Future[ToolResult]]] = SimpleQueue()
        self._killed_at = -math.inf
        self._flying = 0
        self._see_interpreters()

    def run(self, numbers: range) -> Level:
        """Run these snippets, wait until all have ended, and look at what is there then."""
        waiting = iter(numbers)
        next_kill = self._next_kill()
        while True:
            while self._flying < self._mixture.in_flight and (n := next(waiting, None)) is not None:
                self._submit(Flight(n, self._make(n)))
            if not self._flying or not self._collect(next_kill):
                return self._settled()
            if time.monotonic() >= next_kill:
                self._kill_an_interpreter()
                next_kill = self._next_kill()

    def _make(self, n: int) -> Snippet:
        share = self._chance.random() - self._mixture.hostile
        return hostile(self._chance, n) if share < 0 else cells(n) if share < self._mixture.sessions else good(n)

    def _submit(self, flight: Flight) -> None:
        self._flying += 1
        future = self._pool.submit(flight.part.code, flight.session)
        future.add_done_callback(lambda done: self._ended.put((flight, done)))

    def _collect(self, until: float) -> bool:
        """Judge what has ended; False when nothing ends any more."""
        silent_since = time.monotonic()
        while True:
            try:
                ended = self._ended.get(timeout=max(0.0, min(until - time.monotonic(), 1.0)))
            except Empty:
                if time.monotonic() >= until:
                    return True
                if time.monotonic() - silent_since > _LOST_S:
                    self.tally.lost += self._flying
                    return False
                continue
            self._flying -= 1
            self._judge(*ended)
            return True

    def _judge(self, flight: Flight, done: Future[ToolResult]) -> None:
        try:
            result = done.result()
        except SandboxInfraError as error:
            self.tally.infra += 1
            self._try_again(flight, error)
            return
        right = flight.part.is_right(result)
        if not right and result.status is Status.SESSION_LOST and self._killed_at > flight.since - 1.0:
            self.tally.sessions_lost += 1
            self._try_again(flight, result)
            return
        if not right:
            kind = "odd" if isinstance(flight.snippet, Hostile) else "wrong"
            setattr(self.tally, kind, getattr(self.tally, kind) + 1)
            self.tally.note(kind, flight.snippet, result)
        elif flight.next_cell:
            self._submit(flight.next_cell)
            return
        self._conclude(flight)

    def _try_again(self, flight: Flight, reason: object) -> None:
        """The whole session, if it is one: its variables are gone."""
        if flight.attempt < _ATTEMPTS:
            self._end_session(flight)
            self._submit(Flight(flight.number, flight.snippet, flight.attempt + 1))
        else:
            self.tally.lost += 1
            self.tally.note("lost", flight.snippet, reason)

    def _conclude(self, flight: Flight) -> None:
        self._end_session(flight)
        kind = {Good: "good", Hostile: "hostile", Cells: "sessions"}[type(flight.snippet)]
        setattr(self.tally, kind, getattr(self.tally, kind) + 1)

    def _end_session(self, flight: Flight) -> None:
        if flight.session:
            self._pool.end_session(flight.session)

    # The interpreters.

    def _next_kill(self) -> float:
        mean = self._mixture.kill_every
        return time.monotonic() + (self._chance.expovariate(1 / mean) if mean else float("inf"))

    def _see_interpreters(self) -> None:
        """Those that are gone with all their session are forgotten: the kernel gives their numbers to others."""
        peopled = {process.session for process in process_table.of_sessions(self.leaders)}
        self.leaders = (self.leaders & peopled) | set(process_table.interpreters())

    def _kill_an_interpreter(self) -> None:
        """By its pidfd, so that no other process of the same number can be hit."""
        self._see_interpreters()
        pid = self._chance.choice(process_table.interpreters() or [0])
        with suppress(OSError):  # none is there, or it was just being replaced
            watch = os.pidfd_open(pid)
            try:
                if pid in process_table.interpreters():
                    signal.pidfd_send_signal(watch, signal.SIGKILL)
                    self.tally.kills += 1
                    self._killed_at = time.monotonic()
            finally:
                os.close(watch)

    def _settled(self) -> Level:
        """What is there once the pool has its interpreters and spares back and has buried its dead."""
        with suppress(SandboxInfraError):  # the answer waits for an interpreter that is being replaced
            self._pool.submit(good(0).code, None).result()
        previous, quiet = None, 0
        for _ in range(_LOOKS):
            time.sleep(0.1)
            gc.collect()
            self._see_interpreters()
            below = process_table.descendants()
            zombies = sum(process.state == "Z" for process in below)
            level = (process_table.open_descriptors(), zombies, len(below))
            quiet = quiet + 1 if level == previous and not zombies else 0
            if quiet == _QUIET:
                break
            previous = level
        return Level(level[0], process_table.resident_mb(), level[1])
