"""The answer to one request, whole or as a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from coevolve.errors import CoevolveError
from coevolve.serving import replies
from coevolve.serving.engine import Heard
from coevolve.serving.questions import Prepared
from coevolve.serving.refusals import LATE, ClientGone, Refusal, lost
from coevolve.serving.schema import Wanted
from coevolve.serving.shown import Growing, text_of
from coevolve.types import Trajectory

if TYPE_CHECKING:
    from coevolve.serving.app import Service

QUIET_S = 10.0  # a stream without news says at least so often that the server lives
UNREAD_S = 60.0  # after which a client that reads nothing of a stream is gone
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
_EVENTS += [(b"x-accel-buffering", b"no")]

News = asyncio.Queue[Heard]


class Answering(Response):
    """Plays what a request wants, and sends what comes of it."""

    def __init__(self, service: Service, wanted: Wanted) -> None:
        super().__init__()
        self._service, self._wanted = service, wanted
        self._said = replies.Replies(wanted.chat, service.options.name)
        self._until = time.monotonic() + service.options.deadline_s
        self._texts = [Growing(wanted.stop) for _ in range(wanted.answers)]
        self._played: dict[int, Trajectory] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Raises:
            Refusal: nothing was sent, and this is to be.
            ClientGone: nothing was sent, and nobody waits.
        """
        with self._service.handling():
            if self._wanted.stream:
                await self._stream(receive, send)
            else:
                content = replies.to_json(await self._whole(receive))
                await Response(content, media_type="application/json")(scope, receive, send)

    async def _whole(self, receive: Receive) -> object:
        async with self._playing(receive) as (prepared, news):
            while len(self._played) < self._wanted.answers:
                heard = await self._next(news, self._until)
                assert heard is not None, "the deadline is an exception"
                self._hear(heard)
        order = range(self._wanted.answers)
        return self._said.whole(
            [self._texts[i].told for i in order],
            [self._finish(i) for i in order],
            [self._played[i] for i in order],
            prepared.prompt_tokens,
        )

    async def _stream(self, receive: Receive, send: Send) -> None:
        async with self._playing(receive) as (prepared, news):
            await _send(send, {"type": "http.response.start", "status": 200, "headers": _EVENTS})
            with suppress(ClientGone):
                try:
                    await _write(send, *(self._said.begin(i) for i in range(self._wanted.answers)))
                    while len(self._played) < self._wanted.answers:
                        heard = await self._next(news, time.monotonic() + QUIET_S)
                        await _write(send, *([replies.STILL_THERE] if heard is None else self._hear(heard)))
                    end = [self._said.usage(list(self._played.values()), prepared.prompt_tokens)]
                    await _write(send, *(end if self._wanted.with_usage else []), replies.DONE)
                except Refusal as refusal:  # too late for a status
                    await _write(send, replies.event(refusal.body))
                await _send(send, {"type": "http.response.body", "body": b"", "more_body": False})

    @asynccontextmanager
    async def _playing(self, receive: Receive) -> AsyncIterator[tuple[Prepared, News]]:
        """The episodes are played in this block, and news of them and of the client come in a queue.

        Raises:
            Refusal: they cannot be.
        """
        service, news = self._service, News()
        loop = asyncio.get_running_loop()
        async with service.engine.room(self._wanted.answers) as places:
            prepared = await loop.run_in_executor(service.reader, service.questions.prepare, self._wanted)
            followed = self._wanted.stream and service.options.show == "all"
            watch = asyncio.create_task(_watch(receive, news))
            try:
                async with service.engine.play(prepared.episodes, places, news, followed=followed):
                    yield prepared, news
            finally:
                watch.cancel()

    async def _next(self, news: News, until: float) -> Heard | None:
        """The next news; None where there are none until then.

        Raises:
            Refusal: the request has taken too long.
        """
        with suppress(TimeoutError):
            return await asyncio.wait_for(news.get(), max(0.0, min(until, self._until) - time.monotonic()))
        if time.monotonic() < self._until:
            return None
        raise Refusal(
            f"there was no answer within {self._service.options.deadline_s:g} seconds",
            status=504,
            kind=LATE,
            code="deadline",
            after_s=1,
        )

    def _hear(self, heard: Heard) -> list[bytes]:
        """Take news in; the chunks of a stream that tell of them.

        Raises:
            Refusal: the answer is lost.
            ClientGone: nobody waits for it.
        """
        answer, what = heard
        text, chunks = self._texts[answer], []
        if isinstance(what, CoevolveError):
            raise lost(what.what)
        if isinstance(what, ClientGone):
            raise what
        if isinstance(what, Trajectory):
            if what.lost:
                raise lost("the sandbox was lost while the agent used it")
            contract = self._service.engine.answerer.world.contract
            more = text.more(text_of(what, contract, self._service.options.show), finished=True)
            self._played[answer] = what
            chunks = [self._said.end(answer, self._finish(answer), what)]
        else:
            more = text.more(what, finished=False)
        return [self._said.more(answer, more), *chunks] if more else chunks

    def _finish(self, answer: int) -> str:
        return "stop" if self._texts[answer].cut else replies.finish_of(self._played[answer])


async def _watch(receive: Receive, news: News) -> None:
    """Tell when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    news.put_nowait(Heard(0, ClientGone()))


async def _write(send: Send, *parts: bytes) -> None:
    body = b"".join(parts)
    if body:
        await _send(send, {"type": "http.response.body", "body": body, "more_body": True})


async def _send(send: Send, message: Message) -> None:
    """
    Raises:
        ClientGone: it reads nothing.
    """
    try:
        await asyncio.wait_for(send(message), UNREAD_S)
    except TimeoutError:
        raise ClientGone from None
