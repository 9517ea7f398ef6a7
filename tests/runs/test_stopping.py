"""One signal asks, a second one insists; an echo of the first is neither."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from coevolve.runs import stopping
from coevolve.runs.stopping import Stopped, StopRequest


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    for _ in range(100):  # the handler runs between two instructions of Python, at the latest here
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopRequest().active():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_in_another_thread_signals_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with StopRequest().active():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
