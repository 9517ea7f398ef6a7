"""Who waits for which answer: episodes go to the process with the fewest, and come back one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from coevolve.errors import CoevolveError, EngineError
from coevolve.rollout.base import Episode, RolloutSettings
from coevolve.rollout.service import worker_count
from coevolve.runs.answerer import Answerer
from coevolve.serving.player import Begin, Ended, Event, GiveUp, Grown, Player, Ready
from coevolve.serving.refusals import BUSY, ClientGone, Refusal, unavailable
from coevolve.types import Trajectory

_PATIENCE_S = 5.0  # for processes that are asked to end


class Heard(NamedTuple):
    """News of one answer of a request: its text up to now, or all of it, or why there will be none."""

    answer: int  # within its request
    what: str | Trajectory | CoevolveError | ClientGone


@dataclass(slots=True)
class Places:
    """What a request has taken of the places for answers; each is given back with its answer."""

    left: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An answer that is due."""

    answer: int  # within its request
    player: Player
    news: asyncio.Queue[Heard]
    places: Places


@dataclass(slots=True)
class Engine:
    """Plays the episodes of many requests at once.

    A process that ends by itself fails what it was playing, and is started again. One that fails before it is ready
    breaks the engine.

    Args:
        answerer: who answers.
        places: answers that may be played or wait at once.
    """

    answerer: Answerer
    places: int
    broken: asyncio.Future[CoevolveError] = field(init=False)  # why no answer will come any more
    layers: dict[str, str] = field(default_factory=dict)  # of the sandbox
    _settings: RolloutSettings = field(init=False)
    _players: dict[Player, int] = field(default_factory=dict)  # that are ready: answers that they owe
    _starting: dict[Player, asyncio.Future[None]] = field(default_factory=dict)
    _waiting: dict[int, _Waiting] = field(default_factory=dict)
    _keys: count[int] = field(default_factory=count)
    _taken: int = 0
    _closing: bool = False

    def __post_init__(self) -> None:
        answerer = self.answerer
        self._settings = RolloutSettings.of(answerer.config, answerer.world.contract, {answerer.agent})
        self.broken = asyncio.get_running_loop().create_future()

    @property
    def settings(self) -> RolloutSettings:
        """What episodes are built from."""
        return self._settings

    @property
    def owed(self) -> int:
        """Answers that are played or wait."""
        return len(self._waiting)

    @property
    def ready(self) -> int:
        """Processes that play."""
        return len(self._players)

    async def start(self) -> None:
        """Return when all processes are ready.

        Raises:
            CoevolveError: one of them cannot be started.
        """
        for _ in range(worker_count(self.answerer.config.engine)):
            self._begin_one()
        while self._starting and not self.broken.done():
            starting: list[asyncio.Future[Any]] = [*self._starting.values(), self.broken]
            await asyncio.wait(starting, return_when=asyncio.FIRST_COMPLETED)
        if self.broken.done():
            raise self.broken.result()

    @asynccontextmanager
    async def room(self, answers: int) -> AsyncIterator[Places]:
        """Places for the answers of a request: until they are there, at most as long as the block lasts.

        Raises:
            Refusal: there is none now, or never would be.
        """
        if answers > self.places:
            raise Refusal(f"{answers} answers in one request; this server takes {self.places} at once", param="n")
        if self._taken + answers > self.places:
            raise Refusal(
                f"{self._taken} answers are being written or wait, and this server takes {self.places} at once",
                status=429,
                kind=BUSY,
                code="queue_full",
                after_s=1,
            )
        self._taken += answers
        places = Places(answers)
        try:
            yield places
        finally:
            self._taken -= places.left
            places.left = 0

    @asynccontextmanager
    async def play(
        self, episodes: Sequence[Episode], places: Places, news: asyncio.Queue[Heard], *, followed: bool
    ) -> AsyncIterator[None]:
        """News of these episodes in a queue, as long as the block lasts; what is unfinished then is given up.

        Args:
            episodes: of one seat each.
            places: one for each.
            news: one item with a trajectory or an error comes for each of them.
            followed: texts that grow are news as well.

        Raises:
            Refusal: there is no process to play them now.
        """
        if self._closing or not self._players:
            raise unavailable("the server is about to stop or to start again", code="restarting")
        player = min(self._players, key=self._players.__getitem__)
        keys = [next(self._keys) for _ in episodes]
        self._waiting |= {key: _Waiting(number, player, news, places) for number, key in enumerate(keys)}
        self._players[player] += len(keys)
        player.send(Begin(tuple(zip(keys, episodes, strict=True)), followed))
        try:
            yield
        finally:
            left = [key for key in keys if self._done(key) is not None]
            if left:
                player.send(GiveUp(tuple(left)))

    async def close(self) -> None:
        """End all processes; answers that are still due fail."""
        self._closing = True
        self._fail(EngineError("the server has stopped"))
        players = [*self._players, *self._starting]
        for player in players:
            player.send(None)
        await asyncio.gather(*(asyncio.to_thread(player.join, _PATIENCE_S) for player in players))

    def kill(self) -> None:
        """End all processes at once."""
        self._closing = True
        self._fail(EngineError("the server has stopped"))
        for player in [*self._players, *self._starting]:
            player.join(0)

    def _begin_one(self) -> None:
        loop = asyncio.get_running_loop()

        def tell(player: Player, event: Event) -> None:
            with suppress(RuntimeError):  # the server's loop has ended, and nobody listens
                loop.call_soon_threadsafe(self._hear, player, event)

        answerer = self.answerer
        player = Player(self._settings, answerer.base, answerer.policy, tell)
        self._starting[player] = loop.create_future()

    def _hear(self, player: Player, event: Event) -> None:
        if isinstance(event, Ready):
            self.layers = event.layers
            self._players[player] = 0
            self._starting.pop(player).set_result(None)
        elif isinstance(event, Grown):
            waiting = self._waiting.get(event.key)
            if waiting is not None:  # else it was given up in the meantime
                waiting.news.put_nowait(Heard(waiting.answer, event.text))
        elif isinstance(event, Ended):
            waiting = self._done(event.key)
            if waiting is not None:
                waiting.news.put_nowait(Heard(waiting.answer, event.trajectory))
        else:
            self._lose(player, event)

    def _done(self, key: int) -> _Waiting | None:
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            return None
        waiting.places.left -= 1
        self._taken -= 1
        if waiting.player in self._players:
            self._players[waiting.player] -= 1
        return waiting

    def _fail(self, fault: CoevolveError, of: Player | None = None) -> None:
        """Nothing comes of the answers of a process, or of all."""
        for key in [key for key, waiting in self._waiting.items() if of in (None, waiting.player)]:
            waiting = self._done(key)
            assert waiting is not None
            waiting.news.put_nowait(Heard(waiting.answer, fault))

    def _lose(self, player: Player, error: CoevolveError | None) -> None:
        """A process has failed, or has ended. Of one that failed its end follows, which then is no news."""
        was_ready = self._players.pop(player, None) is not None
        was_starting = self._starting.pop(player, None) is not None
        if not was_ready and not was_starting:
            return
        fault = error or EngineError(
            f"a rollout worker ended unexpectedly (exit code {player.exit_code})",
            fix="look for an out-of-memory kill; fewer engine.workers or engine.max_rows need less memory",
        )
        self._fail(fault, player)
        if self._closing:
            return
        if was_ready:
            self._begin_one()
        elif not self.broken.done():
            self.broken.set_result(fault)
