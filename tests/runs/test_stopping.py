"""One signal asks, a second one insists; an echo of the first is neither."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coevolve.runs import stopping
from coevolve.runs.stopping import Stopped, StopRequest


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    for _ in range(100):  # the handler runs between two instructions of Python, at the latest here
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_work_goes_on_to_the_next_check(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    stop = StopRequest()
    with stop.active(), stop.working():
        stop.check()
        send(number)
        assert stop.asked
        with pytest.raises(Stopped) as caught:
            stop.check()
    assert caught.value.number == number
    assert capfd.readouterr().err.strip() == "finishing this batch, then saving it; a second signal stops at once"


def test_a_second_signal_stops_at_once_but_an_echo_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    stop = StopRequest()
    with stop.active(), stop.working():
        send(signal.SIGINT)
        clock[0] += stopping._ECHO_S / 2
        send(signal.SIGINT)
        clock[0] += stopping._ECHO_S
        with pytest.raises(Stopped) as caught:
            send(signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM


def test_where_no_batch_is_in_hand_the_first_signal_stops(capfd: pytest.CaptureFixture[str]) -> None:
    stop = StopRequest()
    with stop.active(), pytest.raises(Stopped):
        send(signal.SIGINT)
    assert capfd.readouterr().err == ""


def test_the_handlers_of_before_come_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with StopRequest().active():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in numbers] == before


def test_under_nohup_a_closed_terminal_stops_nothing(tmp_path: Path) -> None:
    code = """
import os, signal
from coevolve.runs.stopping import StopRequest
stop = StopRequest()
with stop.active(), stop.working():
    os.kill(os.getpid(), signal.SIGHUP)
    print(stop.asked)
    os.kill(os.getpid(), signal.SIGTERM)
    print(stop.asked)
"""
    ended = subprocess.run(
        ["nohup", sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert ended.stdout == "False\nTrue\n"


BATCH = """
import sys, time
from pathlib import Path
from coevolve.runs.stopping import Stopped, StopRequest
stop = StopRequest()
try:
    with stop.active(), stop.working():
        print("ready", flush=True)
        while not stop.asked:
            time.sleep(0.01)
        print("the rest of the batch", flush=True)
        print("and a warning", file=sys.stderr, flush=True)
        stop.check()
except Stopped as stopped:
    Path(sys.argv[1]).write_text(f"saved, {int(stopped.number)}")
"""


def test_a_closed_terminal_stops_after_the_batch_whatever_is_printed_until_then(tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", BATCH, str(tmp_path / "told")])
    assert os.read(terminal, 5) == b"ready"
    os.close(terminal)
    os.waitpid(child, 0)
    assert (tmp_path / "told").read_text() == f"saved, {int(signal.SIGHUP)}"


def test_in_another_thread_signals_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with StopRequest().active():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
