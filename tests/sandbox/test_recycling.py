"""A zygote that has made enough children is relieved by a fresh one: no snippet waits, none is lost."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence

import pytest

from coevolve.sandbox import zygotes
from coevolve.sandbox.base import Limits
from coevolve.sandbox.launch import Zygote
from coevolve.sandbox.pool import SandboxPool

from .processes import alive, children, eventually, open_descriptors, zygote

SLOW = "import time; time.sleep({}); print('slept')"


@pytest.fixture
def recycling(monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxPool]:
    """A zygote makes thirty children here."""
    monkeypatch.setattr(zygotes, "_FORKS", 30)
    with SandboxPool(workers=2, limits=Limits(wall_s=60)) as pool:
        yield pool


def _relieve(pool: SandboxPool) -> int:
    """Run snippets until another zygote has taken over; its pid."""
    first, number = zygote(pool), 0
    while zygote(pool) == first:
        assert pool.run(f"print({number})").stdout == f"{number}\n"
        number += 1
        assert number < 5000
    return zygote(pool)


def test_snippets_go_on_over_many_zygotes(recycling: SandboxPool) -> None:
    seen = {zygote(recycling)}
    for _ in range(3):
        seen.add(_relieve(recycling))
        futures = [recycling.submit(f"print({n})") for n in range(20)]
        assert [future.result().stdout for future in futures] == [f"{n}\n" for n in range(20)]
    assert len(seen) == 4
    assert recycling.stats.infra_failures == 0
    for _ in range(10):  # the last spares of the relieved ones
        recycling.run("print(1)")
    assert eventually(lambda: not any(map(alive, seen - {zygote(recycling)})) or bool(_relieve(recycling)))


def test_what_runs_when_a_zygote_is_relieved_ends_in_its_own_time(recycling: SandboxPool) -> None:
    first = zygote(recycling)
    slow = recycling.submit(SLOW.format(1.5))
    recycling.run("treasure = 7", "ours")
    _relieve(recycling)
    assert alive(first)
    assert recycling.run("print(treasure)", "ours").stdout == "7\n"
    assert slow.result().stdout == "slept\n"
    assert recycling.run("print(treasure)", "ours").stdout == "7\n"
    assert recycling.stats.infra_failures == 0


def test_the_end_of_a_relieved_zygote_spoils_only_what_ran_in_it(recycling: SandboxPool) -> None:
    first = zygote(recycling)
    recycling.submit(SLOW.format(60))
    assert eventually(lambda: [run.child.started for run in recycling._supervisor._running] == [True])
    (run,) = recycling._supervisor._running
    second = _relieve(recycling)
    os.kill(first, signal.SIGKILL)
    assert recycling.run("print(6*7)").stdout == "42\n"
    assert eventually(lambda: run.job.spoilt == 1)
    assert eventually(lambda: [run.child.started for run in recycling._supervisor._running] == [True])
    assert recycling.stats.infra_failures in (1, 2)  # the short one may have been sent to one of its last spares
    assert second == zygote(recycling)


def test_the_end_of_the_current_zygote_leaves_what_runs_in_the_relieved_one(recycling: SandboxPool) -> None:
    slow = recycling.submit(SLOW.format(60))
    assert eventually(lambda: [run.child.started for run in recycling._supervisor._running] == [True])
    (run,) = recycling._supervisor._running
    os.kill(_relieve(recycling), signal.SIGKILL)
    for number in range(5):  # the last spares of the first, and a third zygote
        assert recycling.run(f"print({number})").stdout == f"{number}\n"
    assert run.job.spoilt == 0
    assert not slow.done()
    assert alive(run.child.pid)


def test_a_successor_that_dies_while_it_starts_is_done_without(
    recycling: SandboxPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, killed = zygote(recycling), []

    class Doomed(Zygote):
        def _start(self, wrapper: Sequence[str], descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
            process = super()._start(wrapper, descriptors)
            if not killed:
                process.kill()
                killed.append(process.pid)
            return process

    monkeypatch.setattr(zygotes, "Zygote", Doomed)
    while not killed or recycling.stats.infra_failures == 0:
        assert recycling.run("print(6*7)").stdout == "42\n"
    assert zygote(recycling) == first
    assert _relieve(recycling) != first  # after as many again
    assert recycling.stats.infra_failures == 1


def test_a_zygote_that_has_grown_is_relieved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygotes, "_LOOKS", 5)
    with SandboxPool() as pool:
        for _ in range(20):
            pool.run("print(1)")
        monkeypatch.setattr(zygotes, "_GROWTH_BYTES", -(1 << 40))
        _relieve(pool)


def test_close_ends_relieved_and_starting_zygotes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygotes, "_FORKS", 30)
    before, ours = open_descriptors(), set(children(os.getpid()))
    for snippets in (28, 35):
        pool = SandboxPool(workers=2, limits=Limits(wall_s=60))
        pool.submit(SLOW.format(60))
        for _ in range(snippets):
            pool.run("print(1)")
        pool.close()
        assert set(children(os.getpid())) <= ours
        assert open_descriptors() == before
