"""Which sessions are open on a server, whose they are, and which cell comes next in each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from coevolve.sandbox.remote.admission import Busy

_RETRY_AFTER_S = 5


class Unknown(Exception):
    """There is no such session, or this is not its next cell: its state is lost, and nothing was run."""


@dataclass(slots=True)
class _Session:
    cells: int
    running: bool
    used_at: float


class Sessions:
    """The sessions of all clients. A client reaches its own only: the secret name of the client is part of their names.

    A cell says its number, so that a server that was started anew, or has given a session up, never runs a later
    cell in an empty process.

    Args:
        limit: how many may be open at once.
        idle_s: a session unused for so long is ended.
        end: ends a session of the pool.
    """

    def __init__(self, *, limit: int, idle_s: float, end: Callable[[str], None]) -> None:
        self.limit, self.idle_s = limit, idle_s
        self._end = end
        self._open: dict[str, _Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, client: str, session: str, cell: int) -> str:
        """A cell is about to run; the session's name in the pool.

        Raises:
            Unknown: the cell cannot be run in the state that it expects.
            Busy: too many sessions are open.
        """
        name = _name(client, session)
        known = self._open.get(name)
        if known is None and cell == 1:
            if len(self._open) >= self.limit:
                raise Busy(f"{self.limit} sessions are open already", _RETRY_AFTER_S)
            known = self._open[name] = _Session(0, False, 0.0)
        if known is None or known.running or cell != known.cells + 1:
            raise Unknown
        known.cells, known.running, known.used_at = cell, True, time.monotonic()
        return name

    def done(self, client: str, session: str) -> None:
        """The cell has ended."""
        known = self._open.get(_name(client, session))
        if known:
            known.running, known.used_at = False, time.monotonic()

    def not_run(self, client: str, session: str) -> None:
        """The cell was sent back; it may come again."""
        self.done(client, session)
        known = self._open.get(_name(client, session))
        if known and known.cells == 1:
            del self._open[_name(client, session)]
        elif known:
            known.cells -= 1

    def end(self, client: str, session: str) -> None:
        """Forget a session; one never heard of is no error."""
        self._forget(_name(client, session))

    def sweep(self) -> None:
        """End what nobody has used for too long."""
        oldest = time.monotonic() - self.idle_s
        for name in [n for n, s in self._open.items() if not s.running and s.used_at < oldest]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        if self._open.pop(name, None):
            self._end(name)


def _name(client: str, session: str) -> str:
    return f"{client}/{session}"
