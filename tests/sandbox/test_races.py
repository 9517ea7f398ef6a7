"""Ends and cancellations at the worst moment: one outcome each, and nothing left behind. For snippets and cells."""

from __future__ import annotations

import random
import time

import pytest

from coevolve.sandbox.base import Limits, Status
from coevolve.sandbox.pool import SandboxPool

from .cells import is_lost
from .processes import children, eventually, open_descriptors, zygote

WALL_S = 0.08


@pytest.mark.parametrize("kind", ["snippet", "session"])
def test_an_end_at_the_deadline_has_exactly_one_status(kind: str) -> None:
    seen = []
    with SandboxPool(limits=Limits(wall_s=WALL_S), workers=2) as pool:
        for i in range(20):
            session = str(i) if kind == "session" else None
            pause = WALL_S - 0.008 + 0.0008 * i if i < 19 else 60  # the last is late, however busy the machine is
            code = f"import time; x = 7; print('begun', flush=True); time.sleep({pause}); print('done')"
            result = pool.run(code, session)
            seen.append(result.status)
            if result.status is Status.OK:
                assert (result.stdout, result.exit_code, result.signal) == ("begun\ndone\n", 0, None)
            else:
                assert result.status is Status.TIMEOUT
                assert (result.exit_code, result.signal) == (None, 9)
                assert result.stdout in ("", "begun\n", "begun\ndone\n")
                assert result.wall_ms >= 1e3 * WALL_S
            if session:
                after = pool.run("print(x)", session)
                assert after.stdout == "7\n" if result.status is Status.OK else is_lost(after, "an earlier cell")
                pool.end_session(session)
        assert pool.stats.infra_failures == 0
    assert Status.TIMEOUT in seen


@pytest.mark.parametrize("kind", ["snippet", "session"])
def test_what_is_cancelled_at_any_moment_leaks_nothing(kind: str) -> None:
    """While it waits, while a child is born for it, while it runs, while it prints, and after its end."""
    numbers = random.Random(1)
    codes = ["print(1)", "import time; time.sleep(0.01)", "print('x' * 99_999)", "while True: print('x' * 99)", "1/0"]
    with SandboxPool(limits=Limits(cpu_s=0.2), workers=2) as pool:
        pool.run("1", "warm")
        pool.end_session("warm")
        spares = (pool._supervisor._spares, pool._sessions.spares)

        def at_rest() -> bool:
            return all(s.asleep == 3 for s in spares) and len(children(zygote(pool))) == 6

        assert eventually(at_rest)
        before = open_descriptors()
        for i in range(60):
            name = str(i) if kind == "session" else None
            futures = [pool.submit(numbers.choice(codes), name) for _ in range(4)]
            time.sleep(numbers.choice([0, 0.0002, 0.001, 0.004]))
            cancelled = [future.cancel() for future in futures]
            if name and i % 2:
                pool.end_session(name)
            for future, gone in zip(futures, cancelled, strict=True):
                assert future.cancelled() if gone else isinstance(future.result(30).status, Status)
            if name:
                pool.end_session(name)
        assert eventually(at_rest)
        assert eventually(lambda: open_descriptors() == before)
        assert pool.run("print(6*7)").stdout == "42\n"
        assert pool.stats.infra_failures == 0
