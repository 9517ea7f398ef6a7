"""What each process does when it is asked: it opens trainers and calls their methods. The first one asks."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from coevolve.engine.base import Opening
from coevolve.errors import CoevolveError

if TYPE_CHECKING:
    from coevolve.engine.fsdp.trainer import DividedTrainer

START_S = 900.0  # that a process may take to import torch and be there
Method = Literal["forward_backward", "step", "discard", "logprobs", "snapshot", "save", "load"]


@dataclass(frozen=True, slots=True)
class Call:
    """What all processes are to do at once with one of their trainers."""

    trainer: int  # the first call of a new number opens it
    method: Method | Opening
    arguments: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)
    micro_batch_tokens: int = 0  # before it is called
    given_up: tuple[int, ...] = ()  # trainers that nobody uses any more


@dataclass(frozen=True, slots=True)
class Seat:
    """The place of a process in its group."""

    rank: int
    size: int
    store: str  # a file by which they find each other
    device: Literal["cpu", "cuda"]
    threads: int
    timeout_s: float  # that one waits for the others


def join(seat: Seat) -> None:
    """Enter the group and choose the device; returns when all are there."""
    # Nothing of one machine need be reachable from others.
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
    # All before the clock of the group runs: imports take long on a busy machine.
    import torch
    import torch.distributed as dist
    import transformers.models.auto.modeling_auto  # noqa: F401

    import coevolve.engine.fsdp.trainer  # noqa: F401
    from coevolve.engine.local.runtime import use_threads

    use_threads(seat.threads)
    store = dist.FileStore(seat.store, seat.size)  # type: ignore[attr-defined]
    store.set_timeout(timedelta(seconds=START_S))
    if seat.device == "cuda":
        torch.cuda.set_device(seat.rank)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if seat.device == "cuda" else "gloo",
        store=store,
        rank=seat.rank,
        world_size=seat.size,
        timeout=timedelta(seconds=seat.timeout_s),
    )


class Servant:
    """The trainers of one process."""

    def __init__(self) -> None:
        self._trainers: dict[int, DividedTrainer] = {}

    def do(self, call: Call) -> Any:
        """Open a trainer or call a method; returns what that returns."""
        for number in call.given_up:
            self._trainers.pop(number, None)
        if isinstance(call.method, Opening):
            from coevolve.engine.fsdp.trainer import DividedTrainer
            from coevolve.engine.local.opening import opened
            from coevolve.engine.local.runtime import return_free_memory

            return_free_memory()
            self._trainers[call.trainer] = opened(DividedTrainer, call.method)
            return None
        trainer = self._trainers[call.trainer]
        trainer.micro_batch_tokens = call.micro_batch_tokens
        return getattr(trainer, call.method)(*call.arguments, **call.named)


def serve(pipe: Connection, seat: Seat) -> None:
    """Main function of every process but the first: answer its calls until it is gone."""
    calls: SimpleQueue[Call] = SimpleQueue()
    threading.Thread(target=_read, args=(pipe, calls.put), daemon=True).start()
    try:
        join(seat)
        servant = Servant()
        pipe.send(None)
        while True:
            servant.do(calls.get())
            pipe.send(None)
    except Exception as error:  # of any kind: what crosses to the first process is told there with the rank
        pipe.send(error if isinstance(error, CoevolveError) else f"{type(error).__name__}: {error}")
        # The others may wait for this process in the middle of a sum: its end wakes them.
        os._exit(1)


def _read(pipe: Connection, put: Callable[[Call], None]) -> None:
    """Also while the process computes or waits for others: it ends with the one that it serves."""
    try:
        while True:
            put(pipe.recv())
    except (EOFError, OSError):
        os._exit(0)
