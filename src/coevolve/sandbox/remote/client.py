"""The Python tool on a server: the same interface as the local pool, over HTTP."""

from __future__ import annotations

import asyncio
import secrets
import weakref
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

from coevolve.errors import SandboxInfraError, SandboxUnavailable
from coevolve.sandbox.base import Limits, Stats, ToolResult, session_lost, too_long
from coevolve.sandbox.cache import ResultCache
from coevolve.sandbox.remote import wire
from coevolve.sandbox.remote.courier import Courier
from coevolve.sandbox.remote.dialects import Dialect, Native, SandboxFusion, agreed

Answer = TypeVar("Answer")
_PATIENCE_S = 600.0
_HEALTH_S, _GOODBYE_S = 10.0, 10.0
_NETWORK_S = 15.0  # beyond what a snippet may wait and run at the server
_LARGEST_FACTS = 1 << 16
_PROBE, _PROBED = "print(6 * 7)", "42\n"


@dataclass(eq=False)
class _Session:
    """A session of ours; at the server its name is a number that is never used again."""

    number: int
    cells: int = 0
    lost: bool = False  # the fate of its last cell is unknown
    ended: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one cell after the other


class RemoteTool:
    """Runs snippets on a server. Implements :class:`coevolve.sandbox.base.Tool`.

    A failing server is never an observation: the snippet is sent once more, and a second failure is a
        SandboxInfraError. A cell of a session is never sent twice if it may have been run; its session is lost then,
        and every later cell of it is a SandboxInfraError as well.

    Args:
        url: of the server, such as ``http://127.0.0.1:8765``.
        token: the secret that the server requires; None for none.
        sandboxfusion: the server speaks SandboxFusion's /run_code. It is sent the limits that this protocol can
            express, has no sessions, and does not report packages and layers.
        limits: of every snippet. A server of ours must have been started with them.
        preload: packages that snippets must be able to import, and no others.
        unsafe: accept a server that lacks a layer.
        sessions: how many sessions will be open at once, those of other clients of the same run included.
        requests: how many snippets are in flight at once; the others wait here.
        cache_size: as for the local pool.
        patience_s: seconds of retrying a busy server before a snippet counts as lost.

    Raises:
        SandboxUnavailable: the server does not answer, the token is wrong, or the server differs from what is asked
            for."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        sandboxfusion: bool = False,
        limits: Limits,
        preload: tuple[str, ...] = (),
        unsafe: bool = False,
        sessions: int = 0,
        requests: int = 64,
        cache_size: int = 0,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._limits, self._cache = limits, ResultCache(cache_size)
        self._dialect: Dialect = SandboxFusion(limits) if sandboxfusion else Native(limits)
        self._within_s = limits.longest_wall_s + _NETWORK_S
        self._busy_s = self._cpu_s = 0.0
        self._open: dict[str, _Session] = {}
        self._numbers = 0
        self._courier = Courier(
            url.rstrip("/"),
            token=token,
            headers={wire.CLIENT: secrets.token_hex(16), "Accept-Encoding": "identity"},
            at_once=requests,
            patience_s=patience_s,
        )
        self._finalizer = weakref.finalize(self, _part, self._courier, self._open)
        try:
            layers = {"server": f"{self._courier.url} (SandboxFusion's /run_code; what confines snippets is unknown)"}
            if not sandboxfusion:
                health = self._examine(self._health)
                layers = agreed(
                    health,
                    url=self._courier.url,
                    limits=limits,
                    preload=preload,
                    unsafe=unsafe,
                    sessions=sessions,
                )
                self._within_s += health.wait_s
            self._check(self._examine(lambda: self._deliver(self._dialect.message(_PROBE), repeatable=True)))
        except BaseException:
            self.close()
            raise
        self.layers: Mapping[str, str] = layers
        self._courier.failures, self._busy_s, self._cpu_s = 0, 0.0, 0.0

    def submit(self, code: str, session: str | None = None) -> Future[ToolResult]:
        """Queue a snippet and return at once; the future raises SandboxInfraError if the server failed."""
        if session is None:
            return self._cache.submit(code, self._start)
        return self._cache.pass_by(
            code, lambda code, future: self._courier.start(future, lambda: self._run_cell(code, session))
        )

    def run(self, code: str, session: str | None = None) -> ToolResult:
        """Run a snippet and wait for it.

        Raises:
            SandboxInfraError: as :meth:`submit`.
        """
        return self.submit(code, session).result()

    def end_session(self, session: str) -> None:
        """Forget a session and end its process; a name never heard of is no error."""
        ended: Future[None] = Future()
        self._courier.start(ended, lambda: self._end_session(session))

    def close(self) -> None:
        """End the connections and the sessions; snippets not finished fail. Done at exit if not before."""
        self._finalizer()

    @property
    def stats(self) -> Stats:
        """What the tool has done so far, its checks at start not counted; seconds are by the server's clocks."""
        return Stats(self._cache.calls, self._cache.hits, self._courier.failures, self._busy_s, self._cpu_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # At start.

    def _examine(self, work: Callable[[], Coroutine[None, None, Answer]]) -> Answer:
        answer: Future[Answer] = Future()
        self._courier.start(answer, work)
        try:
            return answer.result()
        except SandboxInfraError as error:
            raise SandboxUnavailable(
                error.what.replace("failed", "cannot be used", 1),
                where=self._courier.url,
                fix="start it (coevolve sandbox serve), and set COEVOLVE_SANDBOX_TOKEN to the token that it was given",
            ) from error

    async def _health(self) -> wire.Health:
        return await self._courier.ask(wire.HEALTH, wire.health_from_body, within_s=_HEALTH_S, largest=_LARGEST_FACTS)

    def _check(self, probe: ToolResult) -> None:
        if probe.stdout != _PROBED:
            raise SandboxUnavailable(
                f"The sandbox server ran {_PROBE} to {probe.status}, {probe.stdout[:80]!r}, {probe.stderr[-200:]!r}.",
                where=self._courier.url,
                fix="see what the server itself says",
            )

    # In the courier's thread.

    def _start(self, code: str, future: Future[ToolResult]) -> None:
        self._courier.start(future, lambda: self._run_once(code))

    async def _run_once(self, code: str) -> ToolResult:
        return self._refused(code) or await self._deliver(self._dialect.message(code), repeatable=True)

    async def _run_cell(self, code: str, name: str) -> ToolResult:
        if name not in self._open:
            self._numbers += 1
            self._open[name] = _Session(self._numbers)
        session = self._open[name]
        async with session.turn:
            if session.ended:
                return session_lost("it was ended")
            if session.lost:
                raise SandboxInfraError("The session is lost with its server.", where=self._courier.url)
            refused = self._refused(code)
            if refused:
                return refused
            session.cells += 1
            message = {**self._dialect.message(code), "session": str(session.number), "cell": session.cells}
            try:
                return await self._deliver(message, repeatable=False)
            except BaseException:
                session.lost = True
                raise

    async def _end_session(self, name: str) -> None:
        session = self._open.pop(name, None)
        if session:
            session.ended = True
            await _end_sessions(self._courier, [session])

    async def _deliver(self, message: Mapping[str, object], *, repeatable: bool) -> ToolResult:
        result = await self._courier.deliver(
            self._dialect.path,
            message,
            self._dialect.result,
            within_s=self._within_s,
            largest=self._dialect.largest,
            repeatable=repeatable,
        )
        self._busy_s += result.wall_ms / 1e3
        self._cpu_s += result.cpu_ms / 1e3
        return result

    def _refused(self, code: str) -> ToolResult | None:
        length = len(code.encode("utf-8", "surrogatepass"))
        return too_long(length, self._limits.code_bytes) if length > self._limits.code_bytes else None


async def _end_sessions(courier: Courier, sessions: list[_Session]) -> None:
    """Tell the server; if the message is lost, it ends them itself after a while."""
    numbers = [str(session.number) for session in sessions if session.cells and not session.lost]
    if numbers:
        with suppress(SandboxInfraError):
            await courier.deliver(
                wire.END_SESSIONS,
                {"sessions": numbers},
                lambda body: None,
                within_s=_GOODBYE_S,
                largest=_LARGEST_FACTS,
                repeatable=False,
            )


def _part(courier: Courier, sessions: dict[str, _Session]) -> None:
    courier.stop(lambda: _end_sessions(courier, list(sessions.values())))
