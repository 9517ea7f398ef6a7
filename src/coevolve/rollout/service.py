"""Rollouts over one or several processes, behind the one protocol that methods and evaluation use."""

from __future__ import annotations

import multiprocessing
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from coevolve.config import Config, EngineSection
from coevolve.engine.base import Sampling
from coevolve.errors import CoevolveError, EngineError, SandboxInfraError
from coevolve.rollout.base import RolloutCost, Snapshot
from coevolve.rollout.codec import Codec
from coevolve.rollout.loop import Job
from coevolve.rollout.seeds import seed_of
from coevolve.rollout.worker import Assignment, RolloutWorker, contract_hash, sampling_for, split
from coevolve.system import usable_cores
from coevolve.types import PROPOSER, SOLVER, Task, Trajectory
from coevolve.worlds.base import World

_PATIENCE_S = 5.0  # for workers that are asked to end; after it they are killed
_Result = tuple[list[Trajectory], RolloutCost]
_Answer = _Result | dict[str, str] | CoevolveError  # a worker's answer to an assignment, or to None

_LOSSES_BORNE = 2  # lost answers that any call may have, however small it is


def worker_count(engine: EngineSection) -> int:
    """Rollout processes; ``engine.workers=0`` means one per core this process may use, and one for a GPU or vLLM."""
    alone = engine.device == "cuda" or engine.sampler == "vllm"
    return engine.workers or (1 if alone else usable_cores())


class LocalRollouts:
    """Implements :class:`coevolve.rollout.base.Rollouts` with workers in this process (one) or in their own (more).

    Jobs are dealt to workers by a fixed rule, so equal seeds give equal trajectories for a given number of workers.
    """

    def __init__(self, config: Config, world: World, model_path: Path) -> None:
        self._config, self._world = config, world
        self.contract = contract_hash(world.contract, config)
        self._codec = Codec(model_path)
        count = worker_count(config.engine)
        self._cost = RolloutCost(workers=count)
        self._held: tuple[str, int] | None = None
        self._inline = RolloutWorker(config, model_path, world.contract) if count == 1 else None
        self._remote = [_Remote(config, model_path, world) for _ in range(count)] if count > 1 else []

    @property
    def layers(self) -> dict[str, str]:
        """The sandbox layers that the workers found."""
        return self._inline.layers if self._inline else self._remote[0].layers()

    @property
    def cost(self) -> RolloutCost:
        """What all rollouts so far have cost."""
        return self._cost

    def solve(
        self,
        policy: Snapshot,
        tasks: Sequence[Task],
        samples: int,
        *,
        seed: int,
        greedy: bool = False,
        opening: str = "",
        first: int = 0,
    ) -> list[tuple[Trajectory, ...]]:
        """``samples`` answers to each task; see the protocol."""
        forced = self._codec.encode(opening) if opening else np.zeros(0, np.int32)
        prompted = [(task, self._codec.encode(self._world.contract.solver_prompt(task))) for task in tasks]
        jobs = [
            Job(task.id, k, prompt, forced, seed_of(seed, n, k), task.turns[1:])
            for n, (task, prompt) in enumerate(prompted, first)
            for k in range(samples)
        ]
        flat = self._run(SOLVER, policy, jobs, sampling_for(self._config, SOLVER, greedy=greedy))
        return [tuple(flat[i : i + samples]) for i in range(0, len(flat), samples)]

    def write(self, policy: Snapshot, n: int, *, seed: int, first: int = 0) -> list[Trajectory]:
        """``n`` texts of the proposer; see the protocol."""
        prompt = self._codec.encode(self._world.contract.proposer_prompt())
        jobs = [Job(f"q{i}", 0, prompt, np.zeros(0, np.int32), seed_of(seed, i, 0)) for i in range(first, first + n)]
        return self._run(PROPOSER, policy, jobs, sampling_for(self._config, PROPOSER, greedy=False))

    def _run(self, agent: str, policy: Snapshot, jobs: list[Job], sampling: Sampling) -> list[Trajectory]:
        if not jobs:
            return []
        fresh = self._held != (policy.name, policy.version)
        self._held = None  # until every worker has the weights
        workers = len(self._remote) or 1
        shares = split(jobs, workers)
        work = [
            Assignment(agent, policy if fresh else None, policy.name, tuple(jobs[i] for i in share), sampling)
            for share in shares
        ]
        if self._inline is not None:
            results = [self._inline.run(work[0])]
        else:
            for remote, assignment in zip(self._remote, work, strict=True):
                remote.send(assignment)
            outcomes = [remote.outcome() for remote in self._remote]  # of all, so that no answer stays in a pipe
            results = [_trajectories(outcome) for outcome in outcomes]
        self._held = (policy.name, policy.version)
        out: list[Trajectory | None] = [None] * len(jobs)
        for share, (trajectories, cost) in zip(shares, results, strict=True):
            self._cost = _added(self._cost, cost)
            for i, trajectory in zip(share, trajectories, strict=True):
                out[i] = trajectory
        trajectories = [t for t in out if t is not None]
        _check_losses(trajectories)
        return trajectories

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

    def __init__(self, config: Config, model_path: Path, world: World) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, config, model_path, world.contract), daemon=True)
        with _interrupts_held():
            self._process.start()
        theirs.close()
        self._layers: dict[str, str] | None = None
        self._owed = 0  # answers still due
        self.send(None)  # builds the worker while the main process loads its own models

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


def _trajectories(outcome: _Answer) -> _Result:
    if isinstance(outcome, CoevolveError):
        raise outcome
    assert isinstance(outcome, tuple)
    return outcome


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM reach this process after the block, and the processes that the block starts never.

    They finish what they are at: the main process alone decides when a run stops, and their pipe ends with it.
    """
    resource_tracker.ensure_running()  # its start would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, config: Config, model_path: Path, contract: object) -> None:
    """Main function of a worker process; the main process alone reacts to signals."""
    worker: RolloutWorker | None = None
    try:
        while True:
            assignment = pipe.recv()
            try:
                if worker is None:
                    worker = RolloutWorker(config, model_path, contract, own_process=True)  # type: ignore[arg-type]
                pipe.send(worker.layers if assignment is None else worker.run(assignment))
            except CoevolveError as error:  # crosses to the main process, which raises it there
                pipe.send(error)
            except Exception as error:  # not every exception can cross, so its words do
                place = traceback.extract_tb(error.__traceback__)[-1]
                what = f"a rollout worker failed: {type(error).__name__}: {error}"
                pipe.send(EngineError(what, where=f"{place.filename}, line {place.lineno}"))
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
