"""How the live server answers a request. Nothing of it becomes a path: names are looked up among known ones."""

from __future__ import annotations

import gzip
import hmac
import json
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from coevolve.errors import CoevolveError
from coevolve.report.task_index import HELD_OUT, POOL
from coevolve.report.watched import POLL_S, WatchedRun

if TYPE_CHECKING:
    from coevolve.report.server import WatchServer

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
    if origin not in {str(POOL), str(HELD_OUT)} or not (
        iteration.isascii() and iteration.isdigit() and len(iteration) < 7
    ):
        raise Refused(400, "origin and iteration are numbers")
    found = run.trajectories((int(origin), int(iteration), _value(address, "task")))
    if found is None:
        raise Refused(404, "there is no run yet")
    return found
