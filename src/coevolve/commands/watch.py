"""``coevolve watch``: the page of a run while it goes on."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from coevolve.config.keys import nearest
from coevolve.runs.existing import newest_run, runs_below
from coevolve.system import http_url, is_loopback

if TYPE_CHECKING:
    from coevolve.report.server import WatchServer


def watch(run: Path | None, *, host: str, port: int, open_browser: bool | None) -> None:
    """Serve the page until Ctrl-C.

    Args:
        run: a run folder that exists or will, a folder with runs below it, or None for the newest run.
        host: where to listen; other machines need the token in the printed address.
        port: 0 for any that is free.
        open_browser: None: where there is a screen to open it on.

    Raises:
        RunError: no run was named and there is none.
        ConfigError: the address cannot be used.
    """
    path = newest_run() if run is None else run
    from coevolve.report.server import WatchServer
    from coevolve.report.watched import Shelf

    token = None if is_loopback(host) else secrets.token_urlsafe(24)
    with WatchServer(Shelf(path), host=host, port=port, token=token) as server:
        _announce(Console(), path, server)
        if _has_screen() if open_browser is None else open_browser:
            import webbrowser

            webbrowser.open(server.url)
        try:
            server.serve_forever(poll_interval=60)
        except KeyboardInterrupt:
            print("\nThe page has ended; the run was never touched.")


def _announce(console: Console, path: Path, server: WatchServer) -> None:
    lines = [f"watching {path}   {server.url}"]
    if not path.exists():
        guess = nearest(str(path), [str(run) for run in runs_below()])
        lines += [
            f"there is no {path} yet{f' (did you mean {guess}?)' if guess else ''}: its page comes when it begins"
        ]
    if is_loopback(server.host):
        lines += [f"from another machine: {tunnel(server.host, server.server_port)}   then open {server.url} there"]
    else:
        lines += ["whoever has this address can read the run, and the connection is not encrypted"]
    lines += ["Ctrl-C ends the page, not the run"]
    for line in lines:
        console.print(f" {line}", highlight=False, markup=False, soft_wrap=True)


def tunnel(host: str, port: int) -> str:
    """The command that makes the page reachable on the machine it is given on."""
    end = http_url(host, port).removeprefix("http://")
    return f"ssh -N -L {port}:{end} {getpass.getuser()}@{_own_address()}"


def _own_address() -> str:
    """How the other end of an SSH session calls this machine, else its name."""
    session = os.environ.get("SSH_CONNECTION", "").split()  # client, its port, server, its port
    return session[2] if len(session) == 4 else socket.gethostname()


def _has_screen() -> bool:
    """Whether a browser would open in front of whoever gave the command."""
    if not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
