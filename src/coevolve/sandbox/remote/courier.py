"""Delivers messages to one server and returns its answers.

A message has one of three outcomes. It is answered. It is rejected because the server is busy, and may be resent after
the time that the server names. Or its fate is unknown; then it may be resent if running it twice is harmless, otherwise
it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import aiohttp

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.remote import wire
from coevolve.sandbox.remote.background import Background

Answer = TypeVar("Answer")
ATTEMPTS = 2
_PAUSE_S = 0.5  # before the second attempt: a server that restarts after a crash needs a moment
_CONNECT_S = 10.0
_LONGEST_REST_S = 30.0  # whatever Retry-After says
_REST_S = 2.0  # if the server is busy but does not say for how long
_TOO_MANY, _UNAVAILABLE, _TOO_SLOW = 429, 503, 408
_REFUSALS = frozenset(range(300, 500)) - {_TOO_SLOW}  # the same message would be refused again


class Undelivered(Exception):
    """One attempt failed.

    Args:
        reason: in words that go on behind "The sandbox server failed:".
        final: another attempt would fail as well.
        unsent: the server never had the message.
        answered: the server lives, and said something else than what was asked for.
    """

    def __init__(self, reason: str, *, final: bool = False, unsent: bool = False, answered: bool = False) -> None:
        super().__init__(reason)
        self.final, self.unsent, self.answered = final, unsent, answered


class SentBack(Exception):
    """The server is busy and did not look at the message."""

    def __init__(self, after_s: float) -> None:
        super().__init__()
        self.after_s = after_s


class Courier:
    """The way to one server; everything here runs in the client's own thread.

    Args:
        background: the thread, and its connections.
        url: of the server, without a slash at the end.
        patience_s: seconds of retrying a busy server before a message counts as lost."""

    def __init__(self, background: Background, url: str, *, patience_s: float) -> None:
        self._background, self._patience_s = background, patience_s
        self.url, self.failures = url, 0

    async def deliver(
        self,
        path: str,
        message: Mapping[str, object],
        read: Callable[[wire.Body], Answer],
        *,
        within_s: float,
        largest: int,
        repeatable: bool,
    ) -> Answer:
        """Deliver a message, with as many attempts as make sense.

        Args:
            path: of the endpoint.
            message: the JSON object to post.
            read: makes an answer of the object that comes back; raises Malformed or Undelivered.
            within_s: how long an answer may take.
            largest: how many bytes it may have.
            repeatable: whether the message may be resent when its fate is unknown.

        Raises:
            SandboxInfraError: no answer.
        """
        attempts, give_up_at = 0, time.monotonic() + self._patience_s
        while True:
            try:
                return await self.attempt(path, message, read, within_s=within_s, largest=largest)
            except SentBack as back:
                if time.monotonic() + back.after_s > give_up_at:
                    raise self.lost(
                        f"it was busy for {self._patience_s:g} s", "more --workers, or fewer clients"
                    ) from None
                await asyncio.sleep(back.after_s)
            except Undelivered as fault:
                self.failures += 1
                attempts += 1
                if fault.final or attempts == ATTEMPTS or not (repeatable or fault.unsent):
                    raise self.lost(str(fault)) from fault
                await asyncio.sleep(_PAUSE_S)

    async def attempt(
        self,
        path: str,
        message: Mapping[str, object],
        read: Callable[[wire.Body], Answer],
        *,
        within_s: float,
        largest: int,
    ) -> Answer:
        """Post a message once; arguments as of :meth:`deliver`.

        Raises:
            SentBack: the server is busy.
            Undelivered: there is no answer, or none that makes sense.
        """
        body = await self._exchange("POST", path, message, within_s, largest)
        try:
            return read(body)
        except wire.Malformed as error:
            raise Undelivered(f"its answer makes no sense: {error}", answered=True) from error

    async def ask(self, path: str, read: Callable[[wire.Body], Answer], *, within_s: float, largest: int) -> Answer:
        """A GET, once.

        Raises:
            SandboxInfraError: no answer.
        """
        try:
            return read(await self._exchange("GET", path, None, within_s, largest))
        except SentBack:
            raise self.lost("it is busy") from None
        except Undelivered as error:
            raise self.lost(str(error)) from error
        except wire.Malformed as error:
            raise self.lost(f"its answer makes no sense: {error}") from error

    async def _exchange(
        self, method: str, path: str, message: Mapping[str, object] | None, within_s: float, largest: int
    ) -> dict[str, object]:
        times = aiohttp.ClientTimeout(total=within_s, sock_connect=_CONNECT_S)
        try:
            async with self._background.http.request(
                method, self.url + path, json=message, timeout=times, allow_redirects=False
            ) as response:
                data = await _read(response, largest)
                try:
                    return _accepted(response, data)
                except wire.Malformed as error:
                    raise Undelivered(f"its answer makes no sense: {error}", answered=True) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Undelivered(f"it cannot be reached: {_words(error)}", unsent=True) from error
        except TimeoutError as error:
            raise Undelivered(f"no answer within {within_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Undelivered(f"the connection broke: {error or type(error).__name__}") from error

    def lost(self, reason: str, fix: str = "see whether the server runs, then resume") -> SandboxInfraError:
        """The error of a message that has no answer."""
        return SandboxInfraError(f"The sandbox server failed: {reason}.", where=self.url, fix=fix)


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


async def _read(response: aiohttp.ClientResponse, largest: int) -> bytes:
    """The body of a response; one that is too large is not read to its end."""
    data = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > largest:
            raise Undelivered(f"its answer is larger than {largest} bytes", answered=True)
    return bytes(data)


def _accepted(response: aiohttp.ClientResponse, data: bytes) -> dict[str, object]:
    """The JSON object of a successful answer."""
    status, after = response.status, response.headers.get("Retry-After")
    if status == _TOO_MANY or (status == _UNAVAILABLE and after is not None):
        seconds = float(after) if after and after.isascii() and after.isdigit() else _REST_S
        raise SentBack(min(seconds, _LONGEST_REST_S) * random.SystemRandom().uniform(1.0, 1.25))
    if status == 200:
        return wire.parse(data)
    reason = f"{status} {response.reason or ''}".strip()
    with contextlib.suppress(wire.Malformed):
        body = wire.parse(data)
        reason += f": {str(body.get('error') or body.get('message') or '')[:200]}"
    raise Undelivered(f"it answered {reason}", final=status in _REFUSALS, answered=True)
