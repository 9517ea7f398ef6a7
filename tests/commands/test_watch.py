"""``coevolve watch`` as a person starts and stops it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from coevolve.commands.watch import tunnel
from coevolve.errors import RunError
from coevolve.methods.config import CoevolutionConfig
from coevolve.runs.existing import newest_run
from coevolve.store.folder import RunFolder

Cli = Callable[..., Any]


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run that has just begun."""
    RunFolder.create(tmp_path / "agent0-mini-0", CoevolutionConfig(iterations=1)).close()
    return tmp_path / "agent0-mini-0"


@contextmanager
def watching(*arguments: object, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command and the address that it printed."""
    command = [sys.executable, "-m", "coevolve", "watch", *map(str, arguments)]
    environment = os.environ | {"DISPLAY": ":99"}  # a screen is there; without a terminal none is used
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=cwd, env=environment) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found
            yield process, found[0]
        finally:
            process.kill()


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


def test_ctrl_c_ends_it_at_once_and_cleanly_while_pages_listen(begun: Path, tmp_path: Path) -> None:
    with watching(begun, cwd=tmp_path) as (process, url):
        assert "agent0" in fetch(url)
        listener = urllib.request.urlopen(f"{url}events", timeout=60)
        assert listener.readline().startswith(b"data: ")
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stdout is not None
        rest = process.stdout.read()  # what the first line's reading has taken along with it, too
        assert (
            time.monotonic() - begin < 30
        )  # the time that a busy machine takes to end a process; a page would listen forever
        assert "the run was never touched" in rest
        assert re.search(r"ssh -N -L (\d+):127\.0\.0\.1:\1 \S+@\S+", rest)
        listener.close()


def test_without_a_run_it_takes_the_newest(tmp_path: Path) -> None:
    for number, name in enumerate(("older", "newest")):
        RunFolder.create(tmp_path / "runs" / name, CoevolutionConfig(iterations=1)).close()
        moment = time.time() - 100 + number
        os.utime(tmp_path / "runs" / name / "manifest.json", (moment, moment))
    with watching(cwd=tmp_path) as (_, url):
        assert "<title>newest " in fetch(url)


def test_without_any_run_it_says_what_to_do(cli: Cli, tmp_path: Path) -> None:
    cli("watch", cwd=tmp_path).assert_clear("there is no run here", "coevolve run")


def test_the_newest_run_is_looked_for_under_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError):
        newest_run()


def test_a_port_in_use_is_an_error_that_names_it(cli: Cli, begun: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        cli("watch", begun, "--port", str(port)).assert_clear("the port is in use", f":{port}", "--port", code=2)


def test_for_other_machines_the_printed_address_has_a_token(begun: Path, tmp_path: Path) -> None:
    with watching(begun, "--host", "0.0.0.0", cwd=tmp_path) as (_, url):
        token = re.search(r"\?token=([\w-]{32,})$", url)
        assert token
        local = url.replace(f"//{socket.gethostname()}:", "//127.0.0.1:")
        assert "agent0" in fetch(local)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(local.partition("?")[0])


def test_the_tunnel_has_the_same_port_at_both_ends() -> None:
    assert re.fullmatch(r"ssh -N -L 8000:127\.0\.0\.1:8000 \S+@\S+", tunnel("127.0.0.1", 8000))
    assert " 8000:[::1]:8000 " in tunnel("::1", 8000)


def test_in_an_ssh_session_the_tunnel_names_the_address_that_the_session_came_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50000 198.51.100.3 22")
    assert tunnel("127.0.0.1", 1).endswith("@198.51.100.3")


def test_nothing_heavy_is_imported_to_watch() -> None:
    script = (
        "import sys, coevolve.commands.watch, coevolve.report.server\n"
        "heavy = {'torch', 'transformers', 'aiohttp'} & sys.modules.keys()\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
