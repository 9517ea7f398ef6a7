"""Rollouts over one or several processes, behind the one protocol that methods and evaluation use."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from multiprocessing.connection import Connection
from pathlib import Path

from coevolve.config import EngineSection
from coevolve.errors import CoevolveError, EngineError, SandboxInfraError
from coevolve.rollout.base import Episode, RolloutCost, RolloutSettings, Snapshot
from coevolve.rollout.weights import Identity, identity
from coevolve.rollout.worker import Assignment, Played, RolloutWorker, crossing, split
from coevolve.system import interrupts_held, usable_cores
from coevolve.types import Trajectory

_PATIENCE_S = 5.0  # for workers that are asked to end; after it they are killed
_Answer = Played | dict[str, str] | CoevolveError  # a worker's answer to an assignment, or to None

_LOSSES_BORNE = 2  # lost answers that any call may have, however small it is


def worker_count(engine: EngineSection) -> int:
    """Rollout processes; ``engine.workers=0`` means one per core this process may use, and one for a GPU or vLLM."""
    alone = engine.device == "cuda" or engine.sampler == "vllm"
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
            for remote, assignment in zip(self._remote, work, strict=True):
                remote.send(assignment)
            outcomes = [remote.outcome() for remote in self._remote]  # of all, so that no answer stays in a pipe
            results = [_played(outcome) for outcome in outcomes]
        self._held = None if several else identity(first)
        out: dict[int, tuple[Trajectory, ...]] = {}
        for share, (played, cost) in zip(shares, results, strict=True):
            self._cost = _added(self._cost, cost)
            out |= zip(share, played, strict=True)
        _check_losses([t for seats in out.values() for t in seats])
        return [out[i] for i in range(len(episodes))]

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


class _Remote:
    """A worker process and the pipe to it. The process ends when the pipe does."""

    def __init__(self, settings: RolloutSettings, model_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, settings, model_path), daemon=True)
        with interrupts_held():
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

    def send(self, assignment: Assignment | None) -> None:
        """Ask for something; None asks for the layers, which builds the worker."""
        try:
            self._pipe.send(assignment)
        except (BrokenPipeError, ConnectionResetError):
            raise self._lost() from None
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
            answer: _Answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            return self._lost()
        return answer

    def _lost(self) -> EngineError:
        self._process.join(timeout=1)
        return EngineError(
            f"a rollout worker ended unexpectedly (exit code {self._process.exitcode})",
            fix="look for an out-of-memory kill; fewer engine.workers or engine.max_rows need less memory",
        )

    def hang_up(self) -> None:
        """Tell the worker to end; it does so when it has finished what it is at."""
        self._pipe.close()

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
