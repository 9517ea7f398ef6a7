"""How a server process ends: told to, told twice, killed."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from .conftest import Server, Start
from .waiting import SLEEP, descendants, gone, until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_ends_what_runs_and_sends_back_what_waits(start_server: Start, number: int) -> None:
    server = start_server("--workers", "1")
    processes = descendants(server.process.pid)
    assert processes
    with ThreadPoolExecutor() as threads:
        running = threads.submit(server.send, "POST", "/v1/run", SLEEP)
        until(lambda: server.queue()["running"] == 1)
        waiting = [threads.submit(server.send, "POST", "/v1/run", SLEEP) for _ in range(3)]
        until(lambda: server.queue()["waiting"] == 3)
        assert server.stop(number) == 0
        assert running.result()[2]["stdout"] == "1\n2\n"
        for one in waiting:
            status, headers, _ = one.result()
            assert (status, "Retry-After" in headers) == (503, False)
    until(lambda: gone(processes))


def test_told_twice_it_does_not_wait_for_snippets(start_server: Start) -> None:
    server = start_server("--workers", "1", limits=("--wall", "300", "--cpu", "300"))
    with ThreadPoolExecutor() as threads:
        running = threads.submit(server.send, "POST", "/v1/run", {"code": "import time; time.sleep(200)"})
        until(lambda: server.queue()["running"] == 1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.process.poll() is None
        assert server.stop() == 0
        assert running.result()[0] == 500


def test_killed_it_takes_its_processes_with_it(start_server: Start) -> None:
    server = start_server("--workers", "2")
    threading.Thread(target=_send_and_be_left, args=(server,), daemon=True).start()
    until(lambda: server.queue()["running"] == 1)
    processes = descendants(server.process.pid)
    assert len(processes) >= 2
    server.stop(signal.SIGKILL)
    until(lambda: gone(processes))


def _send_and_be_left(server: Server) -> None:
    with suppress(OSError):
        server.send("POST", "/v1/run", SLEEP)
