"""Attacks on lives: pools that close, trainers and zygotes that are killed, while snippets resist."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Limits, Status

from .attack import OUTPUT_BYTES, Attack
from .lane import Lane, eventually
from .surroundings import processes, state

_LIMITS = Limits(cpu_s=5.0, wall_s=30.0, memory_mb=128, output_bytes=OUTPUT_BYTES)
_DEAF = """
import signal, threading, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
for _ in range(20): threading.Thread(target=time.sleep, args=(60,)).start()
time.sleep(60)
"""
_STOPPED = "import signal; signal.raise_signal(signal.SIGSTOP)"
_FLOOD = "import os\nwhile True: os.write(1, b'x')"


def _cancelled(lane: Lane) -> None:
    """What waits can be cancelled, what runs cannot; closing ends both, whatever they do just then."""
    with lane.opened(limits=_LIMITS, workers=2) as pool:
        running = [pool.submit(_DEAF), pool.submit(_STOPPED)]
        waiting = [pool.submit(f"print({turn})") for turn in range(30)]
        eventually(lambda: all(future.running() for future in running), "nothing runs")
        assert not any(future.cancel() for future in running)
        assert all(future.cancel() for future in waiting)
    for future in running:
        assert isinstance(future.exception(0), SandboxInfraError)


def _closed_at_any_moment(lane: Lane) -> None:
    """While children are forked, begin, write or end."""
    for delay in (0.0, 0.002, 0.02):
        with lane.opened(limits=_LIMITS, workers=3) as pool:
            futures = [pool.submit(code) for code in (_FLOOD, _DEAF, "print(1)", "import os; os.abort()", _STOPPED) * 2]
            time.sleep(delay)
        for future in futures:
            assert future.done()
            error = future.exception()
            assert error is None or isinstance(error, SandboxInfraError), error


def _killed_trainer(lane: Lane) -> None:
    """No snippet outlives the trainer, though it ignores signals, is stopped, or writes without end."""
    script = f"""
import sys, time
from coevolve.sandbox.base import Limits
from coevolve.sandbox.pool import SandboxPool
pool = SandboxPool(workers=4, limits=Limits(cpu_s=9, wall_s=60, output_bytes=10**9))
cell = pool.run("import threading, time", session="idle")
futures = [pool.submit(code) for code in {[_DEAF, _STOPPED, _FLOOD]!r}]
futures.append(pool.submit({_DEAF!r}, session="busy"))
time.sleep(0.3)
print(pool._supervisor.zygote_pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        zygote = int(trainer.stdout.readline())
        family = [process.pid for process in processes() if process.session == zygote or process.pid == zygote]
        assert len(family) >= 6
        trainer.kill()
    eventually(lambda: not any(state(pid) not in ("", "Z") for pid in family), "snippets outlive their trainer")


def _killed_zygote(lane: Lane) -> None:
    """What ran is run once more, a second time is an infrastructure failure, and the next snippet runs."""
    with lane.opened(limits=_LIMITS, workers=2) as pool:
        good = pool.submit("import time; time.sleep(0.2); print('good')")
        bad = pool.submit(_DEAF)
        eventually(lambda: len(pool._supervisor._running) == 2, "nothing runs")
        old = lane.zygote(pool)
        os.kill(old, signal.SIGKILL)
        assert lane.hear(good.result(30)).stdout == "good\n"
        eventually(partial(_is_another, lane, pool, old), "no new zygote")
        eventually(lambda: len(pool._supervisor._running) == 1, "it is not run again")
        os.kill(lane.zygote(pool), signal.SIGKILL)
        assert isinstance(bad.exception(30), SandboxInfraError)
        assert pool.run("print(6*7)").stdout == "42\n"


def _is_another(lane: Lane, pool: object, old: int) -> bool:
    return lane.zygote(pool) != old  # type: ignore[arg-type]


def _killed_children(lane: Lane) -> None:
    """Killed from outside: asleep it is replaced, at work it is reported, and nobody else notices."""
    with lane.opened(limits=_LIMITS, workers=2) as pool:
        for _ in range(3):
            zygote = lane.zygote(pool)
            for process in processes():
                if process.parent == zygote:
                    with suppress(ProcessLookupError):  # it has just ended
                        os.kill(process.pid, signal.SIGKILL)
            assert pool.run("print(6*7)").stdout == "42\n"
        future = pool.submit("import time; print('here', flush=True); time.sleep(60)")
        eventually(lambda: len(pool._supervisor._running) == 1, "nothing runs")
        time.sleep(0.05)
        for run in list(pool._supervisor._running):
            os.kill(run.child.pid, signal.SIGKILL)
        result = lane.hear(future.result(30))
        assert (result.status, result.signal) == (Status.KILLED, signal.SIGKILL), result


ATTACKS = [
    Attack(94, "cancelled and closed", _cancelled),
    Attack(94, "closed at any moment", _closed_at_any_moment),
    Attack(95, "the trainer is killed", _killed_trainer),
    Attack(96, "the zygote is killed", _killed_zygote),
    Attack(96, "children are killed", _killed_children),
]
