"""The live server: the pages of runs in progress, for browsers on this machine.

It only ever reads. A page learns by server-sent events that there is something new and asks for it; files are looked
at only while a page listens. Every connection has a thread of its own, so that a slow one delays nobody.
"""

from __future__ import annotations

import gzip
import hmac
import json
import socket
import socketserver
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock
from typing import Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import coevolve
from coevolve.errors import CoevolveError, ConfigError
from coevolve.report.task_index import HELD_OUT, WRITTEN
from coevolve.report.watched import POLL_S, Shelf, WatchedRun
from coevolve.system import http_url, is_ip_address, is_loopback, why_not_listening

SLOWEST_S = 20.0  # how long a client may take for its request, and for each part of an answer
STILL_THERE_S = 5.0  # a page without news hears at least so often that the server lives
PART = 1 << 16  # bytes
GZIP_FROM = 2048  # bytes

HTML, JSON, TEXT = (f"{kind}; charset=utf-8" for kind in ("text/html", "application/json", "text/plain"))
SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Shown(Protocol):
    """Something that has a page which follows it: a run, or the index of several."""

    def page(self) -> str:
        """The page as it is now."""

    def news(self) -> dict[str, object]:
        """What the page is told as soon as it changes."""

    def data(self, tasks: str) -> bytes:
        """JSON that the page asks for when the news say that there is new data."""


class Refused(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Handler(BaseHTTPRequestHandler):
    """One request per connection."""

    server: WatchServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "coevolve", ""
    timeout = SLOWEST_S

    def do_GET(self) -> None:
        self.close_connection = True
        try:
            self._route(self._checked())
        except Refused as refused:
            self._answer(f"{refused.text}\n".encode(), TEXT, refused.status)
        except CoevolveError as error:
            self._answer(f"{error}\n".encode(errors="replace"), TEXT, 500)

    def _not_get(self) -> None:
        self.close_connection = True
        self._answer(b"only GET is answered here\n", TEXT, 405, {"Allow": "GET"})

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _not_get

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not worth a line each."""

    def end_headers(self) -> None:
        for name, value in SAFE_HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _checked(self) -> SplitResult:
        """The address that is asked for, when whoever asks may."""
        server = self.server
        if not server.knows(self.headers.get("Host")):
            raise Refused(421, "this server answers to its own address only; use the one that coevolve watch printed")
        try:
            address = urlsplit(self.path)
        except ValueError:
            raise Refused(400, "this is no address") from None
        if address.scheme or address.netloc or not address.path.startswith("/"):
            raise Refused(400, "this is no address")
        given = _value(address, "token")
        if server.token is not None and not hmac.compare_digest(given.encode(errors="replace"), server.token.encode()):
            raise Refused(403, "the token is missing or wrong; use the address that coevolve watch printed")
        # A page of another site may link to ours; it has no business with the rest.
        if self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not address.path.endswith("/"):
            raise Refused(403, "only the page of this server may ask for that")
        return address

    def _route(self, address: SplitResult) -> None:
        name, place = _parts(address.path)
        if name is None and place == "health":
            return self._answer(json.dumps(self.server.health()).encode(), JSON)
        run = self.server.shelf.run(name)
        shown: Shown | None = run or (self.server.shelf if name is None else None)
        if shown is None:
            raise Refused(404, "there is no such run here")
        if place == "":
            self._answer(shown.page().encode(errors="replace"), HTML)
        elif place == "data":
            self._answer(shown.data(_value(address, "tasks")), JSON)
        elif place == "events":
            self._follow(shown)
        elif place == "trajectories" and run is not None:
            self._answer(_trajectories(run, address), JSON)
        else:
            raise Refused(404, "there is nothing at this address")

    def _follow(self, shown: Shown) -> None:
        """Send news as soon as there are some, for as long as the page listens."""
        with self.server.listener() as admitted:
            if not admitted:
                raise Refused(503, "too many pages are open; close one")
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            last, spoke = "", time.monotonic()
            while not self.server.closed.is_set():
                news = json.dumps(shown.news(), separators=(",", ":"))
                if news != last:
                    self.wfile.write(f"data: {news}\n\n".encode())
                elif time.monotonic() - spoke >= STILL_THERE_S:
                    self.wfile.write(b": still there\n\n")  # and a page that has gone is noticed
                else:
                    self.server.closed.wait(POLL_S)
                    continue
                last, spoke = news, time.monotonic()

    def _answer(self, body: bytes, kind: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        if len(body) >= GZIP_FROM and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, compresslevel=5)
            self.send_header("Content-Encoding", "gzip")
        sent = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(body) if self.command != "HEAD" else 0, PART):
            self.wfile.write(body[start : start + PART])  # each part has its own time, so a slow line is no fault


def _parts(path: str) -> tuple[str | None, str]:
    """The name of a run (None for what the server was started on) and what is asked of it."""
    match path.split("/"):
        case ["", place]:
            return None, place
        case ["", "runs", name, place] if name:
            return unquote(name, errors="replace"), place
    raise Refused(404, "there is nothing at this address")


def _value(address: SplitResult, name: str) -> str:
    """A value of the query; empty where it has none."""
    with suppress(ValueError):  # a query with too many fields
        return parse_qs(address.query, max_num_fields=8).get(name, [""])[0]
    raise Refused(400, "this query has too many parts")


def _trajectories(run: WatchedRun, address: SplitResult) -> bytes:
    origin, iteration = (_value(address, name) for name in ("origin", "iteration"))
    if origin not in {str(WRITTEN), str(HELD_OUT)} or not (
        iteration.isascii() and iteration.isdigit() and len(iteration) < 7
    ):
        raise Refused(400, "origin and iteration are numbers")
    found = run.trajectories((int(origin), int(iteration), _value(address, "task")))
    if found is None:
        raise Refused(404, "there is no run yet")
    return found


MOST_LISTENERS = 16  # pages that are kept up to date at once
MOST_CONNECTIONS = 64

_EVERY_ADDRESS = ("0.0.0.0", "::")

Socket = socket.socket | tuple[bytes, socket.socket]


class Places:
    """A number of places that may be taken."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, Lock()
        self.taken = 0

    def take(self) -> bool:
        """Take one; False when none is free."""
        with self._lock:
            free = self.taken < self._most
            self.taken += free
            return free

    def give_back(self) -> None:
        """Free one that was taken."""
        with self._lock:
            self.taken -= 1


class WatchServer(ThreadingHTTPServer):
    """Serves the pages of a shelf; ``serve_forever`` works until it is interrupted.

    Attributes:
        url: the address for a browser, with the token where one is needed.
    """

    daemon_threads = True
    block_on_close = False  # Ctrl-C waits for no browser
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, shelf: Shelf, *, host: str, port: int, token: str | None = None) -> None:
        """Listen.

        Args:
            shelf: what to show.
            host: address or name of this machine to listen at.
            port: 0 for any that is free.
            token: what every request must have as ``?token=``.

        Raises:
            ConfigError: the address cannot be used, or other machines could reach it and there is no token.
        """
        if token is None and not is_loopback(host):
            raise ConfigError(f"other machines could reach {host}, and there is no token", where="coevolve watch")
        self.shelf, self.host, self.token = shelf, host, token
        self._listeners, self._connections = Places(MOST_LISTENERS), Places(MOST_CONNECTIONS)
        self.closed = Event()
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = family
            super().__init__((str(address[0]), port), Handler)
        except OSError as error:
            raise _unusable(error, host, port) from error
        shown = socket.gethostname() if host in _EVERY_ADDRESS else host
        self.url = f"{http_url(shown, self.server_port)}/{'' if token is None else f'?token={token}'}"

    def server_bind(self) -> None:
        """Bind without asking a name server for the name of the address, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    def server_close(self) -> None:
        """Listen no longer, and let go of the pages that are followed."""
        self.closed.set()
        super().server_close()

    def process_request(self, request: Socket, client_address: object) -> None:
        """Start a thread for a connection; one too many is closed at once."""
        if self._connections.take():
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Socket, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.give_back()

    def handle_error(self, request: Socket, client_address: object) -> None:
        """A client that went away is no fault; anything else is one of ours and is printed."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    @contextmanager
    def listener(self) -> Iterator[bool]:
        """A place among those who listen, for the time of the block; False when there is none."""
        free = self._listeners.take()
        try:
            yield free
        finally:
            if free:
                self._listeners.give_back()

    def knows(self, host: str | None) -> bool:
        """Whether a request with this Host header can be meant for us.

        A page of another site whose name was made to lead here (DNS rebinding) says that name. The port does not
        matter: a tunnel has one of its own.
        """
        try:
            name = urlsplit(f"//{host or ''}").hostname or ""
        except ValueError:
            return False
        if is_loopback(self.host):
            return is_loopback(name)
        own = socket.gethostname().lower()
        return is_ip_address(name) or name in {"localhost", self.host.lower(), own} or name.startswith(f"{own}.")

    def health(self) -> dict[str, object]:
        """That the server works, and for how many."""
        return {"status": "ok", "coevolve": coevolve.__version__, "listeners": self._listeners.taken}


def _unusable(error: OSError, host: str, port: int) -> ConfigError:
    why, fix = why_not_listening(error)
    return ConfigError(f"the page cannot be served: {why}", where=f"{host}:{port}", fix=fix)
