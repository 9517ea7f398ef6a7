"""The live server: the pages of runs in progress, for browsers on this machine.

It only ever reads. A page learns by server-sent events that there is something new and asks for it; files are looked
at only while a page listens. Every connection has a thread of its own, so that a slow one delays nobody.
"""

from __future__ import annotations

import errno
import socket
import socketserver
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from threading import Event, Lock
from urllib.parse import urlsplit

import coevolve
from coevolve.addresses import http_url, is_ip_address, is_loopback
from coevolve.errors import ConfigError
from coevolve.report.answering import Handler
from coevolve.report.shelf import Shelf

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
    taken = error.errno == errno.EADDRINUSE
    return ConfigError(
        f"the page cannot be served: {'the port is in use' if taken else error.strerror or error}",
        where=f"{host}:{port}",
        fix="choose another --port (0: any free one)" if taken else "name an address of this machine with --host",
    )
