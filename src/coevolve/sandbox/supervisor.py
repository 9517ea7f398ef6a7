"""The thread that feeds snippets to children and decides, from outside, how each one ended.

It is the only owner of the zygote, the children and their descriptors; other threads only append to its
queue. A snippet that ends within a few milliseconds, as nearly all do, costs one wake-up: its pipes are read
once, after its end, and watched only if it runs longer.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Limits, Status, ToolResult
from coevolve.sandbox.child import Birth, Child, Death
from coevolve.sandbox.job import Counters, Job, broken, closed
from coevolve.sandbox.launch import Zygote

_ATTEMPTS = 2
_STILLBORN = 8  # so many children in a row that end before they run anything: it is no accident
_QUIET_S = 0.005  # how long a snippet runs before its output is watched
_STEP_S = 0.02  # the finest step in which a running snippet's clocks are looked at
_CORES = os.cpu_count() or 1


@dataclass(slots=True)
class _Run:
    """A job in a child, and when to look at its clocks next."""

    job: Job
    child: Child
    check_at: float


class Supervisor:
    """Owns one zygote and its children, in a thread of its own.

    Args:
        limits: the limits of each snippet.
        workers: how many snippets run at once.
        preload: packages that the zygote imports.
    """

    def __init__(self, limits: Limits, workers: int, preload: tuple[str, ...]) -> None:
        self.layers: dict[str, str] = {}
        self.counters = Counters()
        self._limits, self._workers, self._preload = limits, workers, preload
        self._spares = workers + 1
        self._jobs: deque[Job] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._poll = select.poll()
        self._poll.register(self._wake_read, select.POLLIN)
        self._zygote: Zygote | None = None
        self._children: dict[int, Child] = {}  # all of them, by identifier
        self._idle: dict[int, Child] = {}  # born, and asleep
        self._runs: dict[int, _Run] = {}
        self._watched: dict[int, Child] = {}  # by pipe
        self._identifier = 0
        self._stillborn = 0
        self._stopping = False
        self._lock = threading.RLock()  # a pool may be collected, and so stopped, while it is held
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name="coevolve-sandbox", daemon=True)

    # Called by any thread.

    def start(self) -> None:
        """Start the thread and the first zygote.

        Raises:
            SandboxInfraError: the zygote did not start.
        """
        self._thread.start()
        self._started.result()

    def submit(self, job: Job) -> None:
        """Queue a job; after :meth:`stop` its future fails."""
        with self._lock:
            if not self._stopping:
                self._jobs.append(job)
                self._wake()
                return
        job.future.set_exception(closed())

    def stop(self) -> None:
        """End every process and the thread; jobs not finished fail. Does nothing the second time."""
        with self._lock:
            if not self._stopping:
                self._stopping = True
                self._wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: the thread has plenty of reasons to wake up
            os.write(self._wake_write, b"!")

    @property
    def zygote_pid(self) -> int | None:
        """None between the death of one and the birth of the next."""
        return self._zygote.pid if self._zygote else None

    # The thread.

    def _main(self) -> None:
        try:
            self._open()
        except BaseException as error:
            self._shut(closed())
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        end = closed()
        try:
            while not self._stopping:
                self._feed()
                for descriptor, _ in self._poll.poll(self._patience_ms()):
                    self._handle(descriptor)
                self._check()
        except Exception as error:  # a fault of ours, or no descriptors left: nobody may wait for ever
            end = broken(f"its supervisor stopped ({error!r})")
        self._shut(end)

    def _open(self) -> None:
        zygote = Zygote(self._limits, self._spares + self._workers, self._preload)
        if self.layers not in ({}, zygote.layers):
            zygote.kill()
            raise broken(f"a restart found other layers than before ({zygote.layers})")
        self._zygote, self.layers, self._stillborn = zygote, zygote.layers, 0
        self._poll.register(zygote.fileno(), select.POLLIN)
        self._replenish(zygote)

    def _handle(self, descriptor: int) -> None:
        if descriptor == self._wake_read:
            os.read(self._wake_read, 65536)
        elif descriptor in self._watched:
            child = self._watched[descriptor]
            if not child.drain(self._limits.output_bytes):
                self._unwatch(child)
        elif self._zygote and descriptor == self._zygote.fileno():
            self._listen(self._zygote)

    def _listen(self, zygote: Zygote) -> None:
        report = zygote.report()
        if isinstance(report, Birth):
            child = self._children[report.identifier]
            child.born(report)
            self._idle[report.identifier] = child
        elif isinstance(report, Death):
            self._bury(report)
            if self._stillborn < _STILLBORN:
                self._replenish(zygote)
        else:
            self._lose_zygote()

    def _replenish(self, zygote: Zygote) -> None:
        """Keep enough children asleep, so that no snippet waits for a fork."""
        while len(self._children) - len(self._runs) < self._spares:
            child = Child()
            self._identifier = (self._identifier + 1) % 2**32
            self._children[self._identifier] = child
            try:
                zygote.spawn(self._identifier, child.remote)
            except OSError:  # gone: the end of its socket, which poll() reports, is where that is dealt with
                return
            finally:
                child.hand_over()

    # Snippets.

    def _feed(self) -> None:
        """Give waiting jobs to sleeping children, as many as may run at once."""
        if self._jobs and not self._children:
            self._reopen()
        while self._jobs and self._idle and len(self._runs) < self._workers:
            job = self._jobs.popleft()
            if job.may_start():
                identifier, child = self._idle.popitem()
                child.send(job.code)
                self._runs[identifier] = _Run(job, child, child.sent_at + _QUIET_S)

    def _bury(self, death: Death) -> None:
        """A child has ended: by itself, or because we killed it."""
        ended_at = time.monotonic()
        child = self._children.pop(death.identifier)
        self._idle.pop(death.identifier, None)
        run = self._runs.pop(death.identifier, None)
        self._unwatch(child)
        if run:
            child.drain(self._limits.output_bytes)
        if run and child.started:
            self._conclude(run.job, child.result(death, ended_at, self._limits))
        else:
            self._miss(run)
        child.release()

    def _conclude(self, job: Job, result: ToolResult) -> None:
        self._stillborn = 0
        self.counters.calls += 1
        self.counters.busy_s += result.wall_ms / 1e3
        self.counters.cpu_s += result.cpu_ms / 1e3
        job.future.set_result(result)

    def _miss(self, run: _Run | None) -> None:
        """A child ended before it ran anything; the snippet it may have been given goes to the next one."""
        self.counters.infra_failures += 1
        self._stillborn += 1
        if run:
            self._jobs.appendleft(run.job)
        if self._stillborn >= _STILLBORN:
            self._fail_all(broken(f"{_STILLBORN} children in a row ended before they ran anything"))

    def _spoil(self, job: Job, reason: str) -> None:
        self.counters.infra_failures += 1
        job.spoilt += 1
        if job.spoilt < _ATTEMPTS:
            self._jobs.appendleft(job)
        else:
            job.future.set_exception(broken(f"{reason}, {_ATTEMPTS} times during one snippet"))

    # Deadlines.

    def _patience_ms(self) -> float | None:
        """Until the next look at a running snippet; None to wait for an event."""
        if not self._runs:
            return None
        return max(0.0, min(run.check_at for run in self._runs.values()) - time.monotonic()) * 1e3 + 1.0

    def _check(self) -> None:
        now = time.monotonic()
        for run in self._runs.values():
            if run.check_at <= now:
                run.check_at = now + self._look_at(run.child, now)

    def _look_at(self, child: Child, now: float) -> float:
        """Kill what has used up its time; seconds until the next look."""
        if child.verdict:
            return 1.0
        wall_left = child.sent_at + self._limits.wall_s - now
        cpu_left = self._limits.cpu_s - child.cpu_seconds()
        if wall_left <= 0 or cpu_left <= 0:
            child.kill(Status.CPU_LIMIT if cpu_left <= 0 else Status.TIMEOUT)
        elif child.pipes[0] not in self._watched:
            self._watch(child)
        return max(_STEP_S, min(wall_left, cpu_left / _CORES))

    def _watch(self, child: Child) -> None:
        for pipe in child.pipes:
            self._watched[pipe] = child
            self._poll.register(pipe, select.POLLIN)

    def _unwatch(self, child: Child) -> None:
        for pipe in child.pipes:
            if self._watched.pop(pipe, None):
                self._poll.unregister(pipe)

    # The zygote's end, and ours.

    def _lose_zygote(self) -> None:
        """It was killed, and with it its children: start what was running once more, in a new one."""
        for job in self._abandon():
            self._spoil(job, "the zygote was killed")

    def _reopen(self) -> None:
        self._abandon()
        try:
            self._open()
        except SandboxInfraError as error:
            self.counters.infra_failures += 1
            self._fail_all(error)

    def _abandon(self) -> list[Job]:
        """End the zygote and all its children; the jobs that were running."""
        jobs = [run.job for run in self._runs.values()]
        children = list(self._children.values())
        for child in children:
            self._unwatch(child)
            child.kill(None)
            child.hang_up()
        if self._zygote:
            self._poll.unregister(self._zygote.fileno())
            self._zygote.quit()
            self._zygote = None
        for child in children:
            child.reap_if_ours()
            child.release()
        for register in (self._children, self._idle, self._runs):
            register.clear()
        return jobs

    def _shut(self, reason: SandboxInfraError) -> None:
        running = self._abandon()
        with self._lock:
            self._stopping = True
            self._jobs.extend(running)
            os.close(self._wake_read)
            os.close(self._wake_write)
        self._fail_all(reason)

    def _fail_all(self, error: SandboxInfraError) -> None:
        while self._jobs:
            job = self._jobs.popleft()
            if job.may_start():
                job.future.set_exception(error)
