"""The processes of a run that train together: this one is the first, it starts the others and says what all do.

This process alone has phases, rollouts and the run folder. The others end when it does, however it ends.
"""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, NamedTuple

from coevolve.config import EngineSection
from coevolve.engine.fsdp.servant import START_S, Call, Seat, Servant, join, serve
from coevolve.errors import CoevolveError, ConfigError, EngineError
from coevolve.system import interrupts_held, main_hidden

TIMEOUT_S = 600.0  # that a process waits for the others within a call
_RESUME = "coevolve resume goes on from the last save point"
_TORCH = (2, 8)  # the first whose FSDP2 sums gradients with gloo
_MERCY_S = 5.0  # after a fault: for the others to say theirs


class Group:
    """Starts ``engine.gpus - 1`` processes beside this one, each with a GPU of its own or on the CPU.

    Raises:
        EngineError: a process does not come up.
    """

    def __init__(self, engine: EngineSection, *, timeout_s: float = TIMEOUT_S) -> None:
        import torch.distributed as dist

        if dist.is_initialized():
            raise EngineError("this process trains in another group already", fix="close that one first")
        self._size, self._timeout_s = engine.gpus, timeout_s
        self._folder = Path(tempfile.mkdtemp(prefix="coevolve-"))  # nobody else's
        self._broken: EngineError | None = None
        self._servant = Servant()
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        seats = [
            Seat(rank, engine.gpus, str(self._folder / "store"), engine.device, engine.threads, timeout_s)
            for rank in range(engine.gpus)
        ]
        for seat in seats[1:]:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, seat), daemon=True)
            with interrupts_held(), main_hidden():  # this process alone decides when a run stops
                process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._run(lambda: join(seats[0]), START_S)

    @property
    def processes(self) -> tuple[int, ...]:
        """Ids of the other processes, by rank from 1."""
        return tuple(process.pid or 0 for process in self._processes)

    def do(self, call: Call) -> Any:
        """Let all processes do the same; returns what it gives in this one.

        Raises:
            CoevolveError: what a trainer raises, or a process ended or did not answer; the group is then of no use.
        """
        if self._broken is not None:
            raise self._broken
        message = ForkingPickler.dumps(call)  # once for all
        for rank, pipe in enumerate(self._pipes, 1):
            try:
                pipe.send_bytes(message)
            except OSError:
                self._broken = self._ended(rank)
                self.close()
                raise self._broken from None
        return self._run(lambda: self._servant.do(call), self._timeout_s)

    def close(self) -> None:
        """End the other processes."""
        import torch.distributed as dist

        self._servant = Servant()
        if self._broken is None:
            self._broken = EngineError("the processes that train together have been ended")
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(_MERCY_S)
            if process.is_alive():
                process.kill()
                process.join()
        self._pipes, self._processes = [], []
        if dist.is_initialized():
            dist.destroy_process_group()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, own: Callable[[], Any], wait_s: float) -> Any:
        """Do this process's share and hear what became of the others'."""
        fault: Exception | None = None
        result = None
        try:
            result = own()
        except Exception as error:
            fault = error
        deadline = time.monotonic() + (wait_s if fault is None else _MERCY_S)
        answers = [self._answer(rank, deadline) for rank in range(1, self._size)]
        faults = sorted((answer for answer in answers if answer is not None), key=lambda answer: answer.order)
        if fault is None and not faults:
            return result
        # Where another process went away, the fault of this one is often no more than that.
        cause = fault if isinstance(fault, CoevolveError) or not faults else faults[0].error
        assert cause is not None
        self._broken = EngineError("the processes that train together have ended after a fault")
        self.close()
        raise cause from fault if cause is not fault else None

    def _answer(self, rank: int, deadline: float) -> _Fault | None:
        """What went wrong in another process; None: nothing."""
        pipe, name = self._pipes[rank - 1], f"process {rank} of the {self._size} that train together"
        try:
            if not pipe.poll(max(0.0, deadline - time.monotonic())):
                said = f"{name} does not answer (its id is {self._processes[rank - 1].pid})"
                return _Fault(1, EngineError(said, fix=_RESUME))
            told: CoevolveError | str | None = pipe.recv()
        except (EOFError, OSError):
            return _Fault(0, self._ended(rank))
        if told is None:
            return None
        if isinstance(told, str):
            return _Fault(2, EngineError(f"{name} failed: {told}", fix=_RESUME))
        return _Fault(0, type(told)(told.what, where=told.where or name, fix=told.fix))

    def _ended(self, rank: int) -> EngineError:
        process = self._processes[rank - 1]
        process.join(1)
        return EngineError(
            f"process {rank} of the {self._size} that train together ended unexpectedly (exit code {process.exitcode})",
            fix=f"look for an out-of-memory kill; {_RESUME}",
        )


def require_fsdp() -> None:
    """
    Raises:
        ConfigError: torch was built without distributed training, or is older than what is used of FSDP2.
    """
    import torch
    import torch.distributed as dist

    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if not dist.is_available() or version < _TORCH:
        wanted = ".".join(map(str, _TORCH))
        raise ConfigError(
            f"engine.backend=fsdp needs torch {wanted} or later with torch.distributed, here is {torch.__version__}",
            where="engine.backend",
            fix=f"pip install 'torch>={wanted}'",
        )


class _Fault(NamedTuple):
    order: int  # the most telling first
    error: CoevolveError
