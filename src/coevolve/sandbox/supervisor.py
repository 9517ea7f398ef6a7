"""The thread that feeds snippets to children and decides, from outside, how each one ended.

It is the only owner of the zygote, the children and their descriptors; other threads only append to its
queue. A snippet that ends within a few milliseconds, as nearly all do, costs one wake-up.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from concurrent.futures import Future
from itertools import count

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import ToolResult
from coevolve.sandbox.child import Birth, Child, Death
from coevolve.sandbox.job import Counters, Job, broken, closed
from coevolve.sandbox.launch import Setup, Zygote
from coevolve.sandbox.running import Run, Running
from coevolve.sandbox.spares import Spares

_ATTEMPTS = 2
_STILLBORN = 8  # so many children in a row that end before they run anything: it is no accident


class Supervisor:
    """Owns one zygote and its children, in a thread of its own.

    Args:
        setup: what a zygote is started with.
        workers: how many snippets run at once.
    """

    def __init__(self, setup: Setup, workers: int) -> None:
        self.layers: dict[str, str] = {}
        self.counters = Counters()
        self._setup, self._limits, self._workers = setup, setup.limits, workers
        self._jobs: deque[Job] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._poll = select.poll()
        self._poll.register(self._wake_read, select.POLLIN)
        self._zygote: Zygote | None = None
        self._spares = Spares(Child, workers + 1, count())
        self._running = Running(setup.limits, self._poll)
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
                for descriptor, _ in self._poll.poll(self._running.patience_ms()):
                    self._handle(descriptor)
                self._running.check()
        except Exception as error:  # a fault of ours, or no descriptors left: nobody may wait for ever
            end = broken(f"its supervisor stopped ({error!r})")
        self._shut(end)

    def _open(self) -> None:
        zygote = Zygote(self._setup, 2 * self._workers + 1)
        if self.layers not in ({}, zygote.layers):
            zygote.kill()
            raise broken(f"a restart found other layers than before ({zygote.layers})")
        self._zygote, self.layers, self._stillborn = zygote, zygote.layers, 0
        self._poll.register(zygote.fileno(), select.POLLIN)
        self._spares.replenish(zygote)

    def _handle(self, descriptor: int) -> None:
        if descriptor == self._wake_read:
            os.read(self._wake_read, 65536)
        elif self._zygote and descriptor == self._zygote.fileno():
            self._listen(self._zygote)
        else:
            self._running.read(descriptor)

    def _listen(self, zygote: Zygote) -> None:
        report = zygote.report()
        if isinstance(report, Birth):
            self._spares.born(report)
        elif isinstance(report, Death):
            self._bury(report)
            if self._stillborn < _STILLBORN:
                self._spares.replenish(zygote)
        else:
            self._lose_zygote()

    # Snippets.

    def _feed(self) -> None:
        """Give waiting jobs to sleeping children, as many as may run at once."""
        if self._jobs and not self._spares and not self._running:
            self._reopen()
        while self._jobs and self._spares.asleep and len(self._running) < self._workers:
            job = self._jobs.popleft()
            if job.may_start():
                identifier, child = self._spares.take()
                child.send(job.code)
                self._running.add(identifier, job, child)

    def _bury(self, death: Death) -> None:
        """A child has ended: by itself, or because we killed it."""
        ended_at = time.monotonic()
        run = self._running.remove(death.identifier)
        child = run.child if run else self._spares.remove(death.identifier)
        assert child is not None
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

    def _miss(self, run: Run | None) -> None:
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
        runs = self._running.clear()
        children = [*self._spares.clear(), *(run.child for run in runs)]
        for child in children:
            child.kill(None)
            child.hang_up()
        if self._zygote:
            self._poll.unregister(self._zygote.fileno())
            self._zygote.quit()
            self._zygote = None
        for child in children:
            child.reap_if_ours()
            child.release()
        return [run.job for run in runs]

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
