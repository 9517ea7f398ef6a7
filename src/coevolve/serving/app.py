"""The routes of the server, and what every request must pass first."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import coevolve
from coevolve.serving import replies, schema
from coevolve.serving.answers import Answering
from coevolve.serving.engine import Engine
from coevolve.serving.questions import Questions
from coevolve.serving.refusals import (
    AUTHENTICATION,
    FAULT,
    INVALID,
    LATE,
    NOT_FOUND,
    ClientGone,
    Refusal,
    unavailable,
)
from coevolve.serving.shown import Show
from coevolve.system import is_loopback

LARGEST = 4 << 20  # bytes of a request
SLOWEST_S = 30.0  # how long a client may take to send it
_SAID = {404: "there is nothing at this address", 405: "this address takes another method"}


@dataclass(frozen=True, slots=True)
class Options:
    """How requests are answered; see ``coevolve serve --help``."""

    name: str
    token: str | None = None
    show: Show = "final"
    system: Literal["refuse", "ignore"] = "refuse"
    deadline_s: float = 600.0


@dataclass(slots=True)
class Service:
    """The endpoints over one engine.

    Attributes:
        stopping: new requests are refused.
        handled: requests that are being answered.
    """

    engine: Engine
    options: Options
    stopping: bool = False
    handled: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    questions: Questions = field(init=False)
    reader: ThreadPoolExecutor = field(init=False)  # one thread: questions are read apart from the server's loop
    _begun: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.questions = Questions(self.engine.answerer, self.engine.settings)
        self.reader = ThreadPoolExecutor(1, "questions")
        self.idle.set()

    def application(self) -> ASGIApp:
        """For an ASGI server."""
        routes = [
            Route("/health", self.health, methods=["GET"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v1/models/{name:path}", self.model, methods=["GET"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/completions", self.completions, methods=["POST"]),
        ]
        handlers: dict[Any, Callable[[Request, Exception], Response]] = {
            Refusal: _refused,
            HTTPException: _refused,
            ClientGone: _gone,
            ClientDisconnect: _gone,
            Exception: _fault,
        }
        return Guard(Starlette(routes=routes, exception_handlers=handlers), self.options.token)

    async def health(self, request: Request) -> Response:
        """That the server works, and for how many."""
        content = {
            "status": "stopping" if self.stopping else "ok",
            "coevolve": coevolve.__version__,
            "answers": self.engine.owed,
        }
        return _json(content, 503 if self.stopping else 200)

    async def models(self, request: Request) -> Response:
        """The list of the one model."""
        return _json({"object": "list", "data": [replies.models(self.options.name, self._begun)]})

    async def model(self, request: Request) -> Response:
        """The one model."""
        if request.path_params["name"] != self.options.name:
            raise Refusal(
                f"the model that is served is {self.options.name!r}",
                status=404,
                kind=NOT_FOUND,
                param="model",
                code="model_not_found",
            )
        return _json(replies.models(self.options.name, self._begun))

    async def chat(self, request: Request) -> Response:
        """An answer to the last turn of a conversation."""
        return await self._answer(request, lambda body: schema.chat(body, system=self.options.system))

    async def completions(self, request: Request) -> Response:
        """Answers to questions."""
        return await self._answer(request, schema.completion)

    async def _answer(self, request: Request, read: Callable[[bytes], schema.Wanted]) -> Response:
        with self.handling():  # a server that is about to stop reads no bodies
            body = await _body(request)
        wanted = await asyncio.get_running_loop().run_in_executor(self.reader, read, body)
        schema.require_model(wanted, self.options.name)
        return Answering(self, wanted)

    @contextmanager
    def handling(self) -> Iterator[None]:
        """A request is in hand in this block.

        Raises:
            Refusal: the server is about to stop.
        """
        if self.stopping:
            raise unavailable("the server is about to stop", code="stopping")
        self.handled += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.handled -= 1
            if not self.handled:
                self.idle.set()


class Guard:
    """Lets pass who may ask. On loopback without a token that is who calls this machine by one of its own names.

    Args:
        app: what is guarded.
        token: that every request must bear, but those of /health.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refusal(Request(scope))
            if refusal is not None:
                await _refused(Request(scope), refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> Refusal | None:
        if request.url.path == "/health":
            return None
        if (
            self._token is None
        ):  # a page of another site whose name was made to lead here (DNS rebinding) says that name
            return None if _is_own_name(request.headers.get("Host", "")) else Refusal(MISDIRECTED, status=421)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(errors="replace"), self._token.encode())
        if same and scheme.lower() == "bearer":
            return None
        return Refusal(
            "the token is missing or wrong: send Authorization: Bearer TOKEN, in most clients as the API key",
            status=401,
            kind=AUTHENTICATION,
            code="invalid_api_key",
        )


MISDIRECTED = "without a token this server answers only requests to localhost or another loopback address"


def _is_own_name(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


async def _body(request: Request) -> bytes:
    """The body of a request.

    Raises:
        Refusal: it is no JSON by its own account, too large, or does not come.
    """
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        # Other types can be sent by the pages of other sites without asking.
        raise Refusal("send Content-Type: application/json", status=415)
    too_large = Refusal(f"a request may have {LARGEST} bytes", status=413, code="request_too_large")
    if (
        request.headers.get("Content-Length", "0").isdigit()
        and int(request.headers.get("Content-Length", "0")) > LARGEST
    ):
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST_S):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST:
                    raise too_large
    except TimeoutError:
        raise Refusal(f"the request did not come within {SLOWEST_S:g} seconds", status=408, kind=LATE) from None
    return bytes(body)


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(replies.to_json(content), status, headers, media_type="application/json")


def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        kind = NOT_FOUND if error.status_code == 404 else INVALID
        error = Refusal(_SAID.get(error.status_code, error.detail), status=error.status_code, kind=kind)
    assert isinstance(error, Refusal)
    return _json(error.body, error.status, {} if error.after_s is None else {"Retry-After": str(error.after_s)})


def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


def _fault(request: Request, error: Exception) -> Response:
    """A fault of ours; the server says on its screen what it was."""
    return _refused(request, Refusal("the server failed at this request", status=500, kind=FAULT, code="fault"))
