"""A process that plays episodes as they come, and the two threads that talk to it."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

from coevolve.engine.base import MemoryShortage, Snapshot
from coevolve.errors import CoevolveError
from coevolve.rollout.base import Episode, RolloutSettings
from coevolve.rollout.worker import RolloutWorker, crossing
from coevolve.system import interrupts_held
from coevolve.types import Trajectory

_REMEMBERED = 2048  # episodes after which the encodings of their texts are forgotten


@dataclass(frozen=True, slots=True)
class Begin:
    """Episodes of one seat to play, by the keys under which they are told of."""

    episodes: tuple[tuple[int, Episode], ...]
    followed: bool  # tell of them while they grow


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nobody waits for these any more."""

    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """The process has its model and its sandbox."""

    layers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Grown:
    """All that an episode has read and written up to now."""

    key: int
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """An episode is over."""

    key: int
    trajectory: Trajectory


Command = Begin | GiveUp | None  # None: end
Event = Ready | Grown | Ended | CoevolveError | None  # an error ends the process; None: it has ended


class Player:
    """The process, for whoever sends it work.

    Args:
        settings: of the rollouts.
        model_path: folder of the base model.
        policy: whose answers they are.
        tell: called with every event, in a thread of its own.
    """

    def __init__(
        self, settings: RolloutSettings, model_path: Path, policy: Snapshot, tell: Callable[[Player, Event], None]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=play, args=(theirs, settings, model_path, policy), daemon=True)
        with interrupts_held():  # the server alone decides when work ends
            self._process.start()
        theirs.close()
        self._tell, self._gone = tell, threading.Event()
        self._outbox: SimpleQueue[Command] = SimpleQueue()
        for work in (self._write, self._read):
            threading.Thread(target=work, daemon=True).start()

    def send(self, command: Command) -> None:
        """Never waits: a process in the middle of a decoding step reads later."""
        self._outbox.put(command)

    def join(self, patience_s: float) -> None:
        """Wait until the process closes its pipe, at most so long, and end it: what is left is to free memory."""
        self._gone.wait(patience_s)
        self._process.kill()
        self._process.join()

    @property
    def exit_code(self) -> int | None:
        """Of the process, once it has ended."""
        self._process.join(timeout=1)
        return self._process.exitcode

    def _write(self) -> None:
        command: Command = Begin((), followed=False)
        while command is not None:
            command = self._outbox.get()
            try:
                self._pipe.send(command)
            except (BrokenPipeError, ConnectionResetError):
                return  # the reader tells of it

    def _read(self) -> None:
        event: Event = Ready({})
        while event is not None:
            try:
                event = self._pipe.recv()
            except (EOFError, ConnectionResetError):
                event = None
                self._gone.set()
            self._tell(self, event)


def play(pipe: Connection, settings: RolloutSettings, model_path: Path, policy: Snapshot) -> None:
    """Main function of the process; it ends when it is told to, or with the other end of its pipe."""
    worker: RolloutWorker | None = None
    try:
        worker = RolloutWorker(settings, model_path, own_process=True)
        desk = _Desk(pipe, worker, policy)
        pipe.send(Ready(worker.layers))
        desk.work()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the server has ended
    except Exception as error:  # of any kind: the server is told what crosses to it
        pipe.send(crossing(error))
    finally:
        if worker is not None:
            worker.close()
        pipe.close()


class _Desk:
    """Takes commands between decoding steps."""

    def __init__(self, pipe: Connection, worker: RolloutWorker, policy: Snapshot) -> None:
        self._pipe, self._worker, self._policy = pipe, worker, policy
        self._loop = worker.open_loop(policy)
        self._begun: dict[int, Begin] = {}  # by key: what is being played
        self._keys: dict[int, int] = {}  # by number within the loop
        self._since = 0  # episodes since the last time that texts were forgotten

    def work(self) -> None:
        while True:
            while self._pipe.poll(0 if self._loop.living else None):
                command: Command = self._pipe.recv()
                if command is None:
                    return
                self._take(command)
            try:
                ended = self._loop.step()
            except MemoryShortage:  # the sampler has forgotten all, and takes fewer at once
                self._again()
                continue
            for number, (trajectory,) in ended.items():
                key = self._keys.pop(number)
                del self._begun[key]
                self._pipe.send(Ended(key, trajectory))
            for number, text in self._loop.grown.items():
                if self._begun[self._keys[number]].followed:
                    self._pipe.send(Grown(self._keys[number], text))

    def _take(self, command: Begin | GiveUp) -> None:
        if isinstance(command, Begin):
            for key, episode in command.episodes:
                self._begun[key] = Begin(((key, episode),), command.followed)
                self._keys[self._loop.join(episode)] = key
            self._since += len(command.episodes)
            if self._since > _REMEMBERED:
                self._worker.forget_texts()
                self._since = 0
            return
        numbers = {key: number for number, key in self._keys.items()}
        for key in self._begun.keys() & command.keys:
            self._loop.give_up(numbers[key])
            del self._begun[key], self._keys[numbers[key]]

    def _again(self) -> None:
        self._loop = self._worker.open_loop(self._policy)
        self._keys = {self._loop.join(only.episodes[0][1]): key for key, only in self._begun.items()}
