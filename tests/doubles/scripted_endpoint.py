"""An OpenAI-compatible server on loopback that says what a test says, and counts what it was asked and has answered."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

MODEL = "scripted"


@dataclass(frozen=True)
class Asked:
    """One request."""

    question: str  # the last user turn, or the prompt
    body: dict[str, Any]
    path: str
    headers: dict[str, str]
    number: int  # how many requests came before it
    before: int  # how many answers this question has had at this temperature
    tries: int  # how many requests with this very body came before it

    @property
    def greedy(self) -> bool:
        return self.body.get("temperature") == 0


@dataclass(frozen=True)
class Says:
    """A well-formed answer."""

    text: str | None
    finish: str | None = "stop"
    tokens: int = 7
    model: str = MODEL
    late_s: float = 0.0  # of work, which the server does for so many at once
    agent: Any = None  # the field coevolve of a choice


@dataclass(frozen=True)
class Fails:
    """Any other response."""

    status: int = 500
    body: str = '{"error": {"message": "the scripted fault"}}'
    headers: dict[str, str] = field(default_factory=dict)
    claims: int = 0  # bytes beyond the body that the header promises and that never come


_WRONG_KEY = Fails(401, '{"error": {"message": "wrong key"}}')


@dataclass(frozen=True)
class Stalls:
    """No response until the server is closed."""


@dataclass(frozen=True)
class HangsUp:
    """The connection is closed without a response."""


Act = Says | Fails | Stalls | HangsUp
Script = Callable[[Asked], Act]


class ScriptedEndpoint:
    """Serves until it is closed. Every answer is a function of the request and of how often it was asked.

    Args:
        script: what is done about a request; called by one thread at a time.
        seats: how many answers are worked at at once; None: all.
        models: what the server lists; None: it does not tell.
        key: that requests must bring.
    """

    def __init__(
        self,
        script: Script,
        *,
        seats: Seats | None = None,
        models: tuple[str, ...] | None = (MODEL,),
        key: str = "",
        owner: str = "somebody",
    ) -> None:
        self.asked: list[Asked] = []
        self.answered: Counter[tuple[str, int | None]] = Counter()  # by question and seed
        self._script, self._models, self._key, self._owner = script, models, key, owner
        self._had: Counter[tuple[str, bool]] = Counter()
        self._tries: Counter[str] = Counter()
        self._broken: list[Exception] = []  # faults of the script, which a test must not take for those of a server
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._seats = seats or nullcontext()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self._broken:
            raise self._broken[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def twice(self) -> list[tuple[str, int | None]]:
        """Questions that were answered more than once with one seed."""
        return [which for which, times in self.answered.items() if times > 1]

    # In the threads of the server.

    def refuses(self, headers: dict[str, str]) -> bool:
        return bool(self._key) and headers.get("authorization") != f"Bearer {self._key}"

    def listing(self) -> Fails:
        if self._models is None:
            return Fails(404, "no such path")
        return Fails(
            200, json.dumps({"object": "list", "data": [{"id": x, "owned_by": self._owner} for x in self._models]})
        )

    def act(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Act:
        with self._seats:
            act = self._decide(path, headers, body)
            if isinstance(act, Says) and act.late_s:
                self._closing.wait(act.late_s)
        if isinstance(act, Stalls):
            self._closing.wait()
        return act

    def _decide(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Act:
        question = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
        greedy, text = body.get("temperature") == 0, json.dumps(body, sort_keys=True)
        with self._lock:
            before, tries = self._had[question, greedy], self._tries[text]
            asked = Asked(question, body, path, headers, len(self.asked), before, tries)
            self.asked.append(asked)
            self._tries[text] += 1
            try:
                act = self._script(asked)
            except Exception as error:
                self._broken.append(error)
                raise
            if isinstance(act, Says):
                self._had[question, greedy] += 1
                self.answered[question, body.get("seed")] += 1
            return act


class Seats:
    """So many are served at once, first come, first served."""

    def __init__(self, number: int) -> None:
        self._number, self._came, self._left = number, 0, 0
        self._turn = threading.Condition()

    def __enter__(self) -> None:
        with self._turn:
            place, self._came = self._came, self._came + 1
            self._turn.notify_all()
            self._turn.wait_for(lambda: place < self._left + self._number)

    def until_came(self, number: int) -> None:
        """Wait until so many have come since the beginning."""
        with self._turn:
            self._turn.wait_for(lambda: self._came >= number)

    def __exit__(self, *_: object) -> None:
        with self._turn:
            self._left += 1
            self._turn.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed break their connections."""


def _handler(endpoint: ScriptedEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # a response goes out in one piece

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(_WRONG_KEY if endpoint.refuses(headers) else endpoint.listing())

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if endpoint.refuses(headers):
                self._send(_WRONG_KEY)
                return
            act = endpoint.act(self.path, headers, json.loads(content))
            if isinstance(act, Says):
                self._send(Fails(200, _response(act, chat="chat" in self.path)))
            elif isinstance(act, Fails):
                self._send(act)
            else:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        def _send(self, act: Fails) -> None:
            body = act.body.encode()
            self.send_response(act.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body) + act.claims))
            for name, value in act.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection |= bool(act.claims)

        def log_message(self, *_: object) -> None: ...

    return Handler


def _response(says: Says, *, chat: bool) -> str:
    holder: dict[str, Any] = {"message": {"role": "assistant", "content": says.text}} if chat else {"text": says.text}
    usage = {"prompt_tokens": 1, "completion_tokens": says.tokens, "total_tokens": 1 + says.tokens}
    choice = {"index": 0, "finish_reason": says.finish, **holder}
    choice |= {} if says.agent is None else {"coevolve": says.agent}
    return json.dumps({"id": "x", "object": "x", "model": says.model, "choices": [choice], "usage": usage})
