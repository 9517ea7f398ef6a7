"""The thread that feeds snippets to children and decides, from outside, how each one ended.

It is the only owner of the zygote, the children and their descriptors; other threads only append to its
queue. A snippet that ends within a few milliseconds, as nearly all do, costs one wake-up.
"""

from __future__ import annotations

import select
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import ToolResult
from coevolve.sandbox.cgroups import Group, make
from coevolve.sandbox.child import Birth, Child, Death
from coevolve.sandbox.launch import Setup, Zygote
from coevolve.sandbox.running import Counters, Job, Run, Running, broken, closed
from coevolve.sandbox.session_child import SessionChild
from coevolve.sandbox.sessions import Sessions
from coevolve.sandbox.waiting import Bell, Waiting
from coevolve.sandbox.zygotes import Spares, Zygotes

_ATTEMPTS = 2
_STARTS = 3  # of a zygote, one after the other, before what waits for it fails
_PAUSE_S = 0.1  # between these; each time longer
_STILLBORN = 8  # this many children in a row that end before they run anything are no accident


class Supervisor:
    """Owns the zygotes and their children, in a thread of its own.

    With preloads there are two kinds of zygotes: one that has loaded them, and a bare one for the snippets that name no
    package. A child of the latter costs a fraction: there is less memory to share and to give back.

    Args:
        setup: what a zygote is started with.
        workers: how many snippets run at once.
        sessions: keeps the sessions.
    """

    def __init__(self, setup: Setup, workers: int, sessions: Sessions) -> None:
        self.counters = Counters()
        self._limits, self._workers = setup.limits, workers
        self._waiting = Waiting()
        self._bell = Bell()
        self._poll = select.poll()
        self._poll.register(self._bell.fileno(), select.POLLIN)
        bare_children = children = 2 * workers + 1
        if sessions.maximum:
            children += workers + 1 + sessions.maximum
        self._sessions = sessions
        self._spares = self._bare_spares = Spares(Child, workers + 1)
        total = children + (bare_children if setup.preload else 0)
        self._group = make(total, setup.limits.memory_mb << 20) if setup.namespaces else Group(None, "off")
        loaded = Zygotes(setup, children, self._poll, self._group, (self._spares, sessions.spares))
        self._lines = [loaded]
        if setup.preload:
            self._bare_spares = Spares(Child, workers + 1)
            bare = replace(setup, preload=())
            self._lines.append(Zygotes(bare, bare_children, self._poll, self._group, (self._bare_spares,)))
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
        """Queue a job; after :meth:`stop` its future fails at once."""
        with self._lock:
            if not self._stopping:
                self._waiting.append(job)
                self._bell.ring()
                return
        job.future.set_exception(closed())

    def end_session(self, name: str) -> None:
        """End a session's process; what waits for it is answered as lost."""
        self._sessions.end(name)
        with self._lock:
            if not self._stopping:
                self._bell.ring()

    def stop(self) -> None:
        """End every process and the thread; jobs not finished fail. Does nothing the second time."""
        with self._lock:
            if not self._stopping:
                self._stopping = True
                self._bell.ring()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def zygote_pid(self) -> int | None:
        """The pid of the zygote with the preloads that forks children now; None between the death of one and the start
        of the next.
        """
        return self.zygote_pids[0]

    @property
    def zygote_pids(self) -> list[int | None]:
        """The same for each kind: with the preloads, and the bare one where there is one."""
        return [line.current.pid if line.current else None for line in self._lines]

    @property
    def layers(self) -> dict[str, str]:
        """The isolation layers of the children, as the last zygote reported them."""
        return self._lines[0].layers

    # The thread.

    def _main(self) -> None:
        try:
            for line in self._lines[1:]:
                line.begin()
            for line in self._lines:
                line.open()
        except BaseException as error:
            self._shut(closed())
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        end = closed()
        try:
            while not self._stopping:
                # One round: end idle sessions, feed idle children, handle what happened, kill what is over its limits.
                self._sessions.sweep()
                self._feed()
                self._recycle()
                for descriptor, _ in self._poll.poll(self._patience_ms()):
                    self._handle(descriptor)
                self._running.check()
        except Exception as error:  # a bug of ours, or no descriptors left: callers must not wait for ever
            end = broken(f"its supervisor stopped ({error!r})")
        self._shut(end)

    def _patience_ms(self) -> float | None:
        """Milliseconds to wait for an event; None for no limit."""
        spans = [span for span in (self._running.patience_ms(), self._sessions.patience_ms()) if span is not None]
        return min(spans) if spans else None

    def _handle(self, descriptor: int) -> None:
        # In order: new jobs from other threads, births and deaths, a fresh zygote, output of a running child.
        if descriptor == self._bell.fileno():
            self._bell.silence()
        elif zygote := next((found for line in self._lines if (found := line.of(descriptor))), None):
            self._listen(zygote)
        elif not self._takes_over(descriptor):
            self._running.read(descriptor)
            ended = self._running.ended(descriptor)
            if ended:
                self._end_cell(*ended)

    def _listen(self, zygote: Zygote) -> None:
        report = zygote.report()
        if isinstance(report, Birth):
            for spares in self._all_spares():
                spares.born(report)
        elif isinstance(report, Death):
            self._bury(report)
            for line in self._lines:
                line.part_if_done(zygote)
                if self._stillborn < _STILLBORN:
                    line.replenish()
        else:
            self._lose(zygote)

    def _all_spares(self) -> tuple[Spares[Any], ...]:
        return (self._spares, self._bare_spares, self._sessions.spares)

    def _recycle(self) -> None:
        """Start a zygote to take over from a current one when that has made enough children."""
        for line in self._lines:
            try:
                line.look_after()
            except SandboxInfraError:
                self.counters.infra_failures += 1  # the current one still works

    def _takes_over(self, descriptor: int) -> bool:
        """Whether this descriptor is a next zygote's, reporting that it is ready or has failed."""
        try:
            return any(line.welcome(descriptor) for line in self._lines)
        except SandboxInfraError:
            self.counters.infra_failures += 1
            return True

    # Snippets.

    def _feed(self) -> None:
        """Give waiting jobs to idle children, as many as may run at once."""
        while True:
            while len(self._running) < self._workers and (job := self._waiting.take(self._has_child)):
                self._begin(job)
            first = self._waiting.first
            if first is None or not self._is_barren(first):
                return
            self._reopen(self._line_of(first))

    def _is_barren(self, job: Job) -> bool:
        """No child of its kind is there or on its way: only a fresh zygote helps."""
        return not self._spares_of(job) and not (self._line_of(job).current and self._running)

    def _line_of(self, job: Job) -> Zygotes:
        return self._lines[-1 if job.bare else 0]

    def _spares_of(self, job: Job) -> Spares[Child]:
        return self._bare_spares if job.bare else self._spares

    def _has_child(self, job: Job) -> bool:
        """Whether a child is there to take a job at once."""
        if job.session is None:
            return self._spares_of(job).asleep > 0
        zygote = self._lines[0].current
        if not job.session.child and zygote:
            self._sessions.spares.number = self._workers + 1  # from the first session on
            self._sessions.spares.replenish(zygote)
        return bool(job.session.child) or self._sessions.spares.asleep > 0

    def _begin(self, job: Job) -> None:
        session = job.session
        if session is None:
            identifier, child = self._spares_of(job).take()
        else:
            identifier, child = self._sessions.resume(session)
        child.send(job.code)
        self._running.add(identifier, job, child)

    def _end_cell(self, identifier: int, run: Run, child: SessionChild) -> None:
        """A cell has ended, and its process lives on."""
        self._running.remove(identifier)
        if run.job.session:
            self._sessions.rest(run.job.session)
            self._waiting.let_next(run.job.session)
        self._conclude(run.job, child.cell_result(self._limits))

    def _bury(self, death: Death) -> None:
        """A child has ended, by itself or because we killed it: complete its job."""
        ended_at = time.monotonic()
        run = self._running.remove(death.identifier)
        child: Child | None
        if run:
            child = run.child
            child.drain(self._limits.output_bytes)
            ended = run.job.session and run.job.session.lost  # by the caller, perhaps before it began
            # Once the child has read its code, its end is the snippet's own; before that, another child gets the job.
            if child.started or ended:
                result = child.result(death, ended_at, self._limits)
                self._sessions.bury(death.identifier, f"an earlier cell ended its process ({result.status})")
                self._conclude(run.job, result)
            else:
                self._sessions.restart(death.identifier)
                self._miss([run.job, *(run.job.session.take_waiting() if run.job.session else ())])
        else:  # it was idle: between two cells of a session, or never used
            child = self._sessions.bury(death.identifier, "its process was killed between two cells")
            if child is None:
                removed = (spares.remove(death.identifier) for spares in self._all_spares())
                child = next(filter(None, removed), None)
                self._miss([])
        assert child is not None
        child.release()

    def _conclude(self, job: Job, result: ToolResult) -> None:
        self._stillborn = 0
        self.counters.calls += 1
        self.counters.busy_s += result.wall_ms / 1e3
        self.counters.cpu_s += result.cpu_ms / 1e3
        job.future.set_result(result)

    def _miss(self, jobs: list[Job]) -> None:
        """A child ended before it ran anything: requeue its job and what waits for it."""
        self.counters.infra_failures += 1
        self._stillborn += 1
        self._waiting.put_back(jobs)
        if self._stillborn >= _STILLBORN:
            self._waiting.fail(broken(f"{_STILLBORN} children in a row ended before they ran anything"))

    def _spoil(self, job: Job, reason: str) -> None:
        self.counters.infra_failures += 1
        job.spoilt += 1
        if job.session:
            job.future.set_exception(broken(f"{reason} while a session's cell ran, which must not run twice"))
        elif job.spoilt < _ATTEMPTS:
            self._waiting.put_back([job])
        else:
            job.future.set_exception(broken(f"{reason}, {_ATTEMPTS} times during one snippet"))

    # The zygote's end, and ours.

    def _lose(self, zygote: Zygote) -> None:
        """The zygote was killed with its children: rerun their snippets under another zygote."""
        for job in self._abandon(zygote):
            self._spoil(job, "the zygote was killed")
        for line in self._lines:
            line.replenish()

    def _reopen(self, line: Zygotes) -> None:
        """Start a new zygote. What killed the last one (out of memory) may kill this one too, so retry a few times."""
        if line.current:
            self._abandon(line.current)
        for attempt in range(1, _STARTS + 1):
            try:
                line.open()
                self._stillborn = 0
                return
            except SandboxInfraError as error:
                self.counters.infra_failures += 1
                if attempt == _STARTS or self._stopping:
                    self._waiting.fail(error)
                    return
            time.sleep(_PAUSE_S * attempt)

    def _abandon(self, zygote: Zygote) -> list[Job]:
        """End a zygote and all its children; returns the jobs that were running."""
        runs = self._running.clear(zygote.living)
        children: list[Child] = [run.child for run in runs if not run.job.session]
        children += self._spares.clear(zygote.living) + self._bare_spares.clear(zygote.living)
        children += self._sessions.clear("the sandbox had to be started again", zygote.living)
        # Kill first, then let the zygote reap them, then bury those that were reparented to us.
        for child in children:
            child.kill(None)
            child.hang_up()
        next(line for line in self._lines if zygote in line.all()).part(zygote)
        for child in children:
            child.reap_if_ours()
            child.release()
        return [run.job for run in runs]

    def _shut(self, reason: SandboxInfraError) -> None:
        waiting = self._sessions.take_waiting()
        running = [job for line in self._lines for zygote in line.all() for job in self._abandon(zygote)]
        for line in self._lines:
            line.close()
        self._group.remove()
        with self._lock:
            self._stopping = True
            self._bell.close()
        self._waiting.put_back([*running, *waiting])
        self._waiting.fail(reason)
