"""The Python tool on one or several servers: the same interface as the local pool, over HTTP."""

from __future__ import annotations

import asyncio
import secrets
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from coevolve.errors import SandboxInfraError, SandboxUnavailable
from coevolve.sandbox.base import Limits, Stats, ToolResult, session_lost, too_long
from coevolve.sandbox.cache import ResultCache
from coevolve.sandbox.remote import wire
from coevolve.sandbox.remote.background import Background
from coevolve.sandbox.remote.courier import Courier
from coevolve.sandbox.remote.dialects import Dialect, Native, SandboxFusion, Terms
from coevolve.sandbox.remote.hosts import Host, Hosts

_PATIENCE_S = 600.0
_GOODBYE_S, _LARGEST_GOODBYE = 10.0, 1 << 16


@dataclass(eq=False)
class _Session:
    """A session of ours; at the server its name is a number that is never used again."""

    number: int
    home: Host | None = None  # where its first cell ran
    cells: int = 0
    lost: bool = False  # the fate of its last cell is unknown
    ended: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one cell after the other

    @property
    def where(self) -> str:
        """The address of its server, once it has one."""
        return self.home.courier.url if self.home else ""


class RemoteTool:
    """Runs snippets on servers. Implements :class:`coevolve.sandbox.base.Tool`.

    A failing server is never an observation: the snippet is sent once more, to another server where there are several,
        and a second failure is a SandboxInfraError. A session stays at the server of its first cell. A cell of it is
        never sent twice if it may have been run; its session is lost then, and every later cell of it is a
        SandboxInfraError as well.

    Args:
        urls: of the servers, such as ``http://127.0.0.1:8765``.
        token: the secret that they require; None for none.
        sandboxfusion: they speak SandboxFusion's /run_code. It is sent the limits that this protocol can
            express, has no sessions, and does not report packages and layers.
        limits: of every snippet. Servers of ours must have been started with them.
        preload: packages that snippets must be able to import, and no others.
        unsafe: accept a server that lacks a layer.
        sessions: how many sessions will be open at once, those of other clients of the same run included;
            each server must have room for all, should the others be lost.
        requests: how many snippets each server is given at once; the others wait here.
        cache_size: as for the local pool.
        patience_s: seconds of waiting for a server with room before a snippet counts as lost.

    Raises:
        SandboxUnavailable: no server answers, the token is wrong, or a server differs from what is asked
            for."""

    def __init__(
        self,
        *urls: str,
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
        self._busy_s = self._cpu_s = 0.0
        self._open: dict[str, _Session] = {}
        self._numbers = 0
        self._background = Background(
            token=token,
            headers={wire.CLIENT: secrets.token_hex(16), "Accept-Encoding": "identity"},
            at_once=requests * len(urls),
        )
        terms = None if sandboxfusion else Terms(limits, preload, unsafe, sessions)
        couriers = (Courier(self._background, url.rstrip("/"), patience_s=patience_s) for url in urls)
        self._hosts = Hosts(
            self._background,
            [Host(courier, self._dialect, limits, terms) for courier in couriers],
            requests=requests,
            patience_s=patience_s,
        )
        self._finalizer = weakref.finalize(self, _part, self._background, self._open)
        try:
            self.layers: Mapping[str, str] = self._examine()
        except BaseException:
            self.close()
            raise
        self._hosts.forget_failures()

    def submit(self, code: str, session: str | None = None) -> Future[ToolResult]:
        """Queue a snippet and return at once; the future raises SandboxInfraError if the server failed."""
        if session is None:
            return self._cache.submit(code, self._start)
        return self._cache.pass_by(
            code, lambda code, future: self._background.start(future, lambda: self._run_cell(code, session))
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
        self._background.start(ended, lambda: self._end_session(session))

    def close(self) -> None:
        """End the connections and the sessions; snippets not finished fail. Done at exit if not before."""
        self._finalizer()

    @property
    def stats(self) -> Stats:
        """What the tool has done so far, its checks at start not counted; seconds are by the server's clocks."""
        told = tuple(self._hosts.told)
        return Stats(self._cache.calls, self._cache.hits, self._hosts.failures, self._busy_s, self._cpu_s, told)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _examine(self) -> dict[str, str]:
        layers: Future[dict[str, str]] = Future()
        self._background.start(layers, self._hosts.open)
        try:
            return layers.result()
        except SandboxInfraError as error:
            raise SandboxUnavailable(
                error.what.replace("failed", "cannot be used", 1),
                where=error.where,
                fix="start it (coevolve sandbox serve), and set COEVOLVE_SANDBOX_TOKEN to the token that it was given",
            ) from error

    # In the thread.

    def _start(self, code: str, future: Future[ToolResult]) -> None:
        self._background.start(future, lambda: self._run_once(code))

    async def _run_once(self, code: str) -> ToolResult:
        if refused := self._refused(code):
            return refused
        return (await self._deliver(self._dialect.message(code), repeatable=True))[0]

    async def _run_cell(self, code: str, name: str) -> ToolResult:
        if name not in self._open:
            self._numbers += 1
            self._open[name] = _Session(self._numbers)
        session = self._open[name]
        async with session.turn:
            if session.ended:
                return session_lost("it was ended")
            if session.lost:
                raise SandboxInfraError("The session is lost with its server.", where=session.where)
            refused = self._refused(code)
            if refused:
                return refused
            session.cells += 1
            message = {**self._dialect.message(code), "session": str(session.number), "cell": session.cells}
            try:
                result, session.home = await self._deliver(message, repeatable=False, home=session.home)
                return result
            except BaseException:
                session.lost = True
                raise

    async def _end_session(self, name: str) -> None:
        session = self._open.pop(name, None)
        if session:
            session.ended = True
            await _end_sessions([session])

    async def _deliver(
        self, message: Mapping[str, object], *, repeatable: bool, home: Host | None = None
    ) -> tuple[ToolResult, Host]:
        result, host = await self._hosts.run(message, repeatable=repeatable, home=home)
        self._busy_s += result.wall_ms / 1e3
        self._cpu_s += result.cpu_ms / 1e3
        return result, host

    def _refused(self, code: str) -> ToolResult | None:
        length = len(code.encode("utf-8", "surrogatepass"))
        return too_long(length, self._limits.code_bytes) if length > self._limits.code_bytes else None


async def _end_sessions(sessions: list[_Session]) -> None:
    """Tell their servers; if a message is lost, the server ends them itself after a while."""
    numbers: dict[Host, list[str]] = {}
    for session in sessions:
        if session.home and not session.lost:
            numbers.setdefault(session.home, []).append(str(session.number))
    await asyncio.gather(*(_say_goodbye(host, ended) for host, ended in numbers.items()))


async def _say_goodbye(host: Host, sessions: list[str]) -> None:
    with suppress(SandboxInfraError):
        await host.courier.deliver(
            wire.END_SESSIONS,
            {"sessions": sessions},
            lambda body: None,
            within_s=_GOODBYE_S,
            largest=_LARGEST_GOODBYE,
            repeatable=False,
        )


def _part(background: Background, sessions: dict[str, _Session]) -> None:
    background.stop(lambda: _end_sessions(list(sessions.values())))
