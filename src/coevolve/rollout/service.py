"""Rollouts over one or several processes, behind the one protocol that methods and evaluation use."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from coevolve.config import EngineSection
from coevolve.errors import CoevolveError, EngineError, SandboxInfraError
from coevolve.rollout.base import Episode, RolloutCost, RolloutSettings, Snapshot
from coevolve.rollout.weights import Identity, identity
from coevolve.rollout.worker import Assignment, Played, RolloutWorker, crossing, split
from coevolve.system import interrupts_held, main_hidden, usable_cores
from coevolve.types import Trajectory

_PATIENCE_S = 5.0  # for workers that are asked to end; after it they are killed
_Answer = Played | dict[str, str] | CoevolveError  # a worker's answer to an assignment, or to None

_RESTARTS = 3  # of one worker's process in one call; what kills it more often will do so for ever
_REST_S = 1.0  # before the first of them; twice as long before each further one
_LOSSES_BORNE = 2  # lost answers that any call may have, however small it is


def worker_count(engine: EngineSection) -> int:
    """Rollout processes; ``engine.workers=0`` means one per usable core, and one for a GPU, vLLM or a server."""
    alone = engine.device == "cuda" or engine.sampler == "vllm" or engine.backend == "tinker"
    return engine.workers or (1 if alone else usable_cores())


class LocalRollouts:
    """Implements :class:`coevolve.rollout.base.Rollouts` with workers in this process (one) or in their own (more).

    Episodes are dealt to workers by a fixed rule, so equal seeds give equal trajectories for a given number of workers.
    One policy is loaded at a time: episodes of equal weights are played together, and where the seats of one have
    different weights these take turns.
    """

    def __init__(self, settings: RolloutSettings, model_path: Path) -> None:
        self.settings = settings
        count = worker_count(settings.engine.engine)
        self._cost = RolloutCost(workers=count)
        self._held: tuple[str, int] | None = None
        self._inline = RolloutWorker(settings, model_path) if count == 1 else None
        self._remote = [_Remote(settings, model_path) for _ in range(count)] if count > 1 else []

    def wait(self) -> None:
        """Wait until every worker has its model and its sandbox.

        Raises:
            CoevolveError: one of them cannot.
        """
        for remote in self._remote:
            remote.layers()

    @property
    def processes(self) -> tuple[int, ...]:
        """Ids of the workers' own processes."""
        return tuple(remote.process for remote in self._remote)

    @property
    def layers(self) -> dict[str, str]:
        """The sandbox layers that the workers found."""
        return self._inline.layers if self._inline else self._remote[0].layers()

    @property
    def cost(self) -> RolloutCost:
        """What all rollouts so far have cost."""
        return self._cost

    def play(self, policies: Mapping[str, Snapshot], episodes: Sequence[Episode]) -> list[tuple[Trajectory, ...]]:
        """The trajectories of each episode, policy after policy; see the protocol."""
        by_policies: dict[frozenset[Identity], list[int]] = {}
        for i, episode in enumerate(episodes):
            met = frozenset(identity(policies[seat.agent]) for seat in episode.seats)
            by_policies.setdefault(met, []).append(i)
        out: dict[int, tuple[Trajectory, ...]] = {}
        for places in by_policies.values():
            mine = [episodes[i] for i in places]
            agents = dict.fromkeys(seat.agent for episode in mine for seat in episode.seats)
            out |= zip(places, self._run({agent: policies[agent] for agent in agents}, mine), strict=True)
        return [out[i] for i in range(len(episodes))]

    def _run(self, policies: Mapping[str, Snapshot], episodes: Sequence[Episode]) -> list[tuple[Trajectory, ...]]:
        first = next(iter(policies.values()))
        several = len({identity(policy) for policy in policies.values()}) > 1
        fresh = first if not several and self._held != identity(first) else None
        self._held = None  # until every worker has the weights
        shares = split(episodes, len(self._remote) or 1)
        by_agent = dict(policies) if several else {}
        work = [Assignment(fresh, first.name, tuple(episodes[i] for i in share), by_agent) for share in shares]
        if self._inline is not None:
            results = [self._inline.run(work[0])]
        else:
            results = self._deal(work, None if several else first)
        self._held = None if several else identity(first)
        out: dict[int, tuple[Trajectory, ...]] = {}
        for share, (played, cost) in zip(shares, results, strict=True):
            self._cost = _added(self._cost, cost)
            out |= zip(share, played, strict=True)
        _check_losses([t for seats in out.values() for t in seats])
        return [out[i] for i in range(len(episodes))]

    def _deal(self, work: Sequence[Assignment], weights: Snapshot | None) -> list[Played]:
        """Have every worker do its part. A process that dies is started again and does its part anew: equal episodes,
        equal seeds and equal weights, so that nobody can tell from the trajectories.

        Args:
            work: by worker.
            weights: what a new process has to load; None where the assignments say it themselves.

        Raises:
            EngineError: a process died again and again.
        """
        deaths = [0] * len(work)
        outcomes: dict[int, _Answer] = {}
        for remote, assignment in zip(self._remote, work, strict=True):
            remote.send(assignment)
        while pending := [i for i in range(len(work)) if i not in outcomes]:
            ready = wait([self._remote[i].pipe for i in pending])
            for i in (i for i in pending if self._remote[i].pipe in ready):
                outcome = self._remote[i].outcome()
                deaths[i] += isinstance(outcome, _WorkerLost)
                if isinstance(outcome, _WorkerLost) and deaths[i] <= _RESTARTS:
                    self._remote[i] = self._remote[i].successor(_REST_S * 2 ** (deaths[i] - 1))
                    self._remote[i].send(replace(work[i], policy=weights))
                    what = f"{outcome.what}: it was started again and does its part anew"
                    self._cost = _added(self._cost, RolloutCost(restarts=1, told=(what,)))
                else:
                    outcomes[i] = outcome  # of all, so that no answer stays in a pipe
        return [_played(outcomes[i]) for i in range(len(work))]

    def release_memory(self) -> None:
        """Let the sampler of this process give memory back; those of other processes keep theirs."""
        if self._inline is not None:
            self._inline.release_memory()

    def close(self) -> None:
        """End all workers and their sandboxes."""
        if self._inline is not None:
            self._inline.close()
        for remote in self._remote:
            remote.hang_up()
        deadline = time.monotonic() + _PATIENCE_S
        for remote in self._remote:
            remote.join(deadline)


class _WorkerLost(EngineError):
    """A worker's process is gone."""


class _Remote:
    """A worker process and the pipe to it. The process ends when the pipe does."""

    def __init__(self, settings: RolloutSettings, model_path: Path) -> None:
        self._settings, self._model_path = settings, model_path
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, settings, model_path), daemon=True)
        with interrupts_held(), main_hidden():
            self._process.start()
        theirs.close()
        self._layers: dict[str, str] | None = None
        self._owed = 0  # answers still due
        self.send(None)  # builds the worker while the main process loads its own models

    @property
    def process(self) -> int:
        """Id of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def successor(self, rest_s: float) -> _Remote:
        """A new process in the place of this one, which has died, after a rest."""
        self.pipe.close()
        time.sleep(rest_s)
        return _Remote(self._settings, self._model_path)

    def send(self, assignment: Assignment | None) -> None:
        """Ask for something; None asks for the layers, which builds the worker."""
        with suppress(BrokenPipeError, ConnectionResetError):  # a process that is gone is noticed where it would answer
            self.pipe.send(assignment)
        self._owed += 1

    def outcome(self) -> _Answer:
        """The answer to what was sent last, or the first fault of any answer that was still due."""
        answers = []
        while self._owed:
            self._owed -= 1
            answers.append(self._take())
            if isinstance(answers[-1], dict):
                self._layers = answers[-1]
        return next((a for a in answers if isinstance(a, CoevolveError)), answers[-1])

    def layers(self) -> dict[str, str]:
        """Wait until the worker is built."""
        if self._layers is None:
            outcome = self.outcome()
            if isinstance(outcome, CoevolveError):
                raise outcome
        assert self._layers is not None
        return self._layers

    def _take(self) -> _Answer:
        try:
            answer: _Answer = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return self._lost()
        return answer

    def _lost(self) -> _WorkerLost:
        self._process.join(timeout=1)
        return _WorkerLost(
            f"a rollout worker ended unexpectedly (exit code {self._process.exitcode})",
            fix="look for an out-of-memory kill; fewer engine.workers or engine.max_rows need less memory",
        )

    def hang_up(self) -> None:
        """Tell the worker to end; it does so when it has finished what it is at."""
        self.pipe.close()

    def join(self, deadline: float) -> None:
        """Wait for the end, until then."""
        self._process.join(timeout=max(0.0, deadline - time.monotonic()))
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _played(outcome: _Answer) -> Played:
    if isinstance(outcome, CoevolveError):
        raise outcome
    assert isinstance(outcome, tuple)
    return outcome


def _serve(pipe: Connection, settings: RolloutSettings, model_path: Path) -> None:
    """Main function of a worker process; the main process alone reacts to signals."""
    worker: RolloutWorker | None = None
    try:
        while True:
            assignment = pipe.recv()
            try:
                if worker is None:
                    worker = RolloutWorker(settings, model_path, own_process=True)
                pipe.send(worker.layers if assignment is None else worker.run(assignment))
            except Exception as error:  # of any kind: the main process raises what crosses to it
                pipe.send(crossing(error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the main process closed the pipe or died
    finally:
        if worker is not None:
            worker.close()


def _check_losses(trajectories: Sequence[Trajectory]) -> None:
    """A few answers lost to the sandbox are counted and left out; many would bend every p_hat.

    Raises:
        SandboxInfraError: more than one answer in twenty was lost.
    """
    lost = sum(t.lost for t in trajectories)
    if lost > max(_LOSSES_BORNE, len(trajectories) / 20):
        raise SandboxInfraError(
            f"the sandbox lost {lost} of {len(trajectories)} answers",
            fix="then: coevolve resume. Look for a memory limit that kills the sandbox, or whether its server runs",
        )


def _added(a: RolloutCost, b: RolloutCost) -> RolloutCost:
    sums = {f.name: getattr(a, f.name) + getattr(b, f.name) for f in fields(RolloutCost) if f.name != "workers"}
    return RolloutCost(**sums, workers=a.workers)
