"""Asks an OpenAI-compatible endpoint: so many requests in flight, with deadlines and retries, in a thread of its own.

A request ends in one of three ways. It is answered. It is a fault: asked in vain so often that it alone is given up.
Or the endpoint is of no use any more, because of a wrong key or a server that answers nobody, and everything stops.

The deadline of a request counts from when the server could have begun with it, not from when it was sent: a server
that answers one after the other is waited for as long as it goes on answering what it was sent before.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

import httpx

from coevolve.endpoint.messages import MODELS, Failed, Malformed, Refused, Useless, accepted, below, shown, words
from coevolve.errors import CoevolveError

Key = TypeVar("Key")
Answer = TypeVar("Answer")
Read = Callable[[dict[str, Any], float], Answer]
KEY_OPTION = "--api-key-env"

_CONNECT_S = 20.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_LONGEST_REST_S = 600.0  # a server that wants no request for longer is not waited for
_SILENT_TIMEOUTS = 2  # a request is given up after so many of them if the server answered nobody meanwhile
_FEWEST_IN_VAIN, _MOST_IN_VAIN = 3, 8  # requests given up one after the other, before the server is
_ALIKE = 0.1  # requests sent within this part of the time-out reach a server in any order
_KEPT = "what was answered is kept, and the same command goes on from there"


class Fault(NamedTuple):
    """Why a request stayed without an answer."""

    reason: str
    refused: bool = False  # the server has seen it, and would refuse it again


@dataclass(frozen=True, slots=True)
class Request(Generic[Key]):
    """One message to the server."""

    key: Key  # comes back with the answer
    label: str  # names it in errors: "gsm8k-17, sample 3"
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Patience:
    """How much is asked at once, and for how long.

    Args:
        concurrency: requests in flight at most.
        timeout_s: seconds within which the server must answer, from when it could begin.
        retries: further attempts after one that failed.
    """

    concurrency: int = 32
    timeout_s: float = 300.0
    retries: int = 5


@dataclass(eq=False, slots=True)
class _Flight:
    """A request that the server has."""

    sent: float
    timer: asyncio.Timeout
    since: float  # when the server could begin: it was sent, or the last one that stood before it was answered
    answered: int  # how many requests the server had answered when this one was sent
    watch: asyncio.TimerHandle | None = None


class Client:
    """Connections to one endpoint. One ``ask`` at a time; not for more than one thread.

    Args:
        url: as ``base_url`` gives it.
        key: sent as a bearer token, kept nowhere else; None for none.
        key_option: the option that says where the key is, for messages.
        patience: how much at once, and for how long.
        largest: bytes of a response; a request whose response is larger is refused. None: any number.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        patience: Patience,
        key_option: str = KEY_OPTION,
        largest: int | None = None,
    ) -> None:
        self.url, self.shown = url, shown(url)
        self._key, self._key_option, self._patience, self._largest = key, key_option, patience, largest
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._certificates: ssl.SSLContext | None = None
        self._flights: set[_Flight] = set()
        self._answered = self._in_vain = 0
        self._quiet_until = 0.0

    def ask(
        self, path: str, requests: Iterable[Request[Key]], read: Read[Answer]
    ) -> Iterator[tuple[Key, Answer | Fault]]:
        """The answers as they arrive, in any order. Requests are taken one by one, as there is room for them.

        Args:
            path: below the URL, such as "chat/completions".
            requests: what to send.
            read: makes an answer of a message and of the seconds since it was asked for; raises Malformed or Useless.

        Raises:
            CoevolveError: the endpoint is of no use; names it and the last request. What came before is good.
        """
        done: SimpleQueue[tuple[Key, Answer | Fault] | None] = SimpleQueue()
        room = asyncio.Semaphore(2 * self._patience.concurrency)
        work = self._start(self._ask_all(path, iter(requests), read, room, done))
        work.add_done_callback(lambda _: done.put(None))
        taken, at_once = 0, max(1, self._patience.concurrency // 2)  # waking the thread for each answer costs time
        try:
            while (item := done.get()) is not None:
                yield item
                taken += 1
                if taken == at_once:
                    self._loop.call_soon_threadsafe(_release, room, taken)
                    taken = 0
            work.result()
        finally:
            work.cancel()

    def models(self) -> dict[str, str]:
        """The models that are served, by name, and who owns each; none where the server does not tell.

        Raises:
            CoevolveError: there is no server, or it wants another key.
        """
        names: dict[str, str] = self._start(self._models()).result()
        return names

    def close(self) -> None:
        """End the connections; does nothing the second time."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._thread = None
        self._loop.close()

    def _start(self, work: Coroutine[Any, Any, Any]) -> Any:
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop.run_forever, name="coevolve-endpoint", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    # In the thread.

    def _connection(self) -> httpx.AsyncClient:
        """One connection, kept open. A pool of many looks at all of them for every request, which costs more."""
        if self._certificates is None and self.url.startswith("https:"):
            self._certificates = httpx.create_ssl_context()
        headers = {"Content-Type": "application/json"}
        return httpx.AsyncClient(
            headers=headers if self._key is None else headers | {"Authorization": f"Bearer {self._key}"},
            verify=self._certificates or False,  # without them there is nothing to verify, and they take long to read
            timeout=httpx.Timeout(None, connect=_CONNECT_S),
            limits=httpx.Limits(max_connections=1),
        )

    async def _models(self) -> dict[str, str]:
        try:
            async with asyncio.timeout(min(self._patience.timeout_s, _CONNECT_S)), self._connection() as http:
                response = await http.get(below(self.url, MODELS))
            if response.status_code == 404:
                return {}
            return {str(one["id"]): str(one.get("owned_by")) for one in accepted(response, self._key)["data"]}
        except (TimeoutError, httpx.TransportError) as error:
            fix = "start the server, or correct the address"
            raise self._useless(f"cannot be reached: {words(error)}", fix=fix) from error
        except Useless as error:
            raise self._useless(error.what, fix=error.fix) from None
        except (Failed, Refused, KeyError, TypeError, AttributeError):
            return {}

    async def _ask_all(
        self,
        path: str,
        requests: Iterator[Request[Key]],
        read: Read[Answer],
        room: asyncio.Semaphore,
        done: SimpleQueue[tuple[Key, Answer | Fault] | None],
    ) -> None:
        url = below(self.url, path)
        self._in_vain = 0

        async def work() -> None:
            async with self._connection() as http:
                while True:
                    await room.acquire()
                    request = next(requests, None)
                    if request is None:
                        room.release()
                        return
                    done.put((request.key, await self._deliver(http, url, request, read)))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._patience.concurrency):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _deliver(
        self, http: httpx.AsyncClient, url: str, request: Request[Key], read: Read[Answer]
    ) -> Answer | Fault:
        """The answer to one request, or why there is none after all attempts."""
        attempts, in_silence, answered = 0, 0, self._answered
        content = json.dumps(request.body).encode()
        while True:
            await self._quiet()
            try:
                answer = await self._attempt(http, url, content, read)
            except Useless as error:
                raise self._useless(error.what, request.label, fix=error.fix) from None
            except Refused as refusal:
                return self._given_up(request.label, str(refusal), refused=True)
            except Failed as failure:
                if self._answered > answered:
                    in_silence, answered = 0, self._answered
                    if failure.busy:  # with our other requests: that is no failure of this one
                        attempts = 0
                else:
                    in_silence += failure.timed_out
                attempts += 1
                if attempts > self._patience.retries or in_silence >= _SILENT_TIMEOUTS:
                    return self._given_up(request.label, f"{failure} (attempts: {attempts})")
                await self._pause(request.label, attempts, failure)
            else:
                self._in_vain = 0
                return answer

    async def _attempt(self, http: httpx.AsyncClient, url: str, content: bytes, read: Read[Answer]) -> Answer:
        sent = self._loop.time()
        flight = _Flight(sent, asyncio.timeout(None), sent, self._answered)
        try:
            async with flight.timer:
                self._flights.add(flight)
                self._watch(flight)
                response = await self._post(http, url, content)
        except TimeoutError:
            raise Failed(self._too_late(flight), timed_out=True) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Failed(f"the connection failed: {words(error)}") from error
        finally:
            self._flights.discard(flight)
            if flight.watch is not None:
                flight.watch.cancel()
        now = self._loop.time()
        before = sent - _ALIKE * self._patience.timeout_s
        for other in self._flights:
            if other.sent >= before:
                other.since = now
        try:
            answer = read(accepted(response, self._key), now - sent)
        except Malformed as error:
            raise Failed(f"its answer makes no sense: {error}") from error
        self._answered += 1
        return answer

    async def _post(self, http: httpx.AsyncClient, url: str, content: bytes) -> httpx.Response:
        """The response to a message, read no further than it may be.

        Raises:
            Refused: it is larger.
        """
        if self._largest is None:
            return await http.post(url, content=content)
        async with http.stream("POST", url, content=content) as response:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > self._largest:
                    raise Refused(f"its response is larger than {self._largest} bytes")
        return httpx.Response(response.status_code, headers=_decoded(response.headers), content=b"".join(parts))

    def _watch(self, flight: _Flight) -> None:
        """End the flight if its time is up, or look again when it may be."""
        now = self._loop.time()
        ends = flight.since + self._patience.timeout_s
        if now >= ends:
            flight.timer.reschedule(now)
        else:
            flight.watch = self._loop.call_at(ends, self._watch, flight)

    def _too_late(self, flight: _Flight) -> str:
        others = self._answered - flight.answered
        late = f"no answer within {self._patience.timeout_s:g} s"
        if not others:
            return late
        return f"{late} while {others} others were answered: the queue of the server is longer than the time-out"

    async def _pause(self, label: str, attempts: int, failure: Failed) -> None:
        """Before the next attempt: as long as the server says, for everybody; or longer from attempt to attempt."""
        if failure.after_s is None:
            pause = min(_FIRST_PAUSE_S * 2 ** (attempts - 1), _LONGEST_PAUSE_S)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            return
        if failure.after_s > _LONGEST_REST_S:
            what = f"wants no request for {failure.after_s:.0f} s: {failure}"
            raise self._useless(what, label, fix=f"wait, or ask less at once (--concurrency); {_KEPT}")
        self._quiet_until = max(self._quiet_until, self._loop.time() + failure.after_s)

    async def _quiet(self) -> None:
        """Until the server may be asked again, and not everybody at the same moment."""
        while (left := self._quiet_until - self._loop.time()) > 0:
            await asyncio.sleep(left + random.uniform(0.0, min(left, 1.0)))

    def _given_up(self, label: str, reason: str, *, refused: bool = False) -> Fault:
        """A fault, or the end if it is one of many without an answer between them."""
        self._in_vain += 1
        if self._in_vain >= max(_FEWEST_IN_VAIN, min(self._patience.concurrency, _MOST_IN_VAIN)):
            what = f"answered none of {self._in_vain} questions, one after the other: {reason}"
            raise self._useless(what, label, fix=f"see what the server itself says; {_KEPT}")
        return Fault(reason, refused)

    def _useless(self, what: str, label: str = "", *, fix: str) -> CoevolveError:
        return CoevolveError(
            f"The endpoint {self.shown} {what}.", where=label, fix=fix.replace("{key option}", self._key_option)
        )


def _decoded(headers: httpx.Headers) -> list[tuple[str, str]]:
    """The headers of a response whose content is decoded already."""
    return [(name, value) for name, value in headers.items() if name not in ("content-encoding", "content-length")]


def _release(room: asyncio.Semaphore, times: int) -> None:
    for _ in range(times):
        room.release()
