"""A sandbox interpreter that has to be started again, and dies while it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence

import pytest

from coevolve.errors import SandboxInfraError
from coevolve.sandbox import zygotes
from coevolve.sandbox.launch import Zygote
from coevolve.sandbox.pool import SandboxPool


def doom(monkeypatch: pytest.MonkeyPatch, starts: int) -> list[int]:
    """Let so many of the next starts be killed at once; their pids come into the list."""
    killed: list[int] = []

    class Doomed(Zygote):
        def _start(self, wrapper: Sequence[str], descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
            process = super()._start(wrapper, descriptors)
            if len(killed) < starts:
                process.kill()
                killed.append(process.pid)
            return process

    monkeypatch.setattr(zygotes, "Zygote", Doomed)
    return killed


def kill_zygote(pool: SandboxPool) -> None:
    pid = pool._supervisor.zygote_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while pool._supervisor.zygote_pid == pid and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_start_that_fails_is_tried_again_before_anything_waiting_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with SandboxPool() as pool:
        killed = doom(monkeypatch, 2)
        kill_zygote(pool)
        results = [future.result(60) for future in [pool.submit(f"print({n})") for n in range(20)]]
        assert [result.stdout for result in results] == [f"{n}\n" for n in range(20)]
        assert len(killed) == 2
        assert pool.stats.infra_failures >= 2


def test_an_interpreter_that_never_starts_fails_what_waits_and_is_tried_anew_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with SandboxPool() as pool:
        killed = doom(monkeypatch, 3)
        kill_zygote(pool)
        with pytest.raises(SandboxInfraError, match="did not start"):
            pool.submit("print(1)").result(60)
        assert len(killed) == 3
        assert pool.run("print(6*7)").stdout == "42\n"
