"""The one multi-turn loop: every agent, phase and evaluation gets its trajectories here.

Token lists only grow: text is decoded for the tool and the grader and never re-encoded onto the training path.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from coevolve.engine.base import Completion, Pause, Sampler, SampleRequest, Snapshot
from coevolve.errors import SandboxInfraError
from coevolve.rollout.base import Episode, Seat
from coevolve.rollout.codec import Codec
from coevolve.rollout.environments import Action, Ask, Done, Environment, EpisodeTools, GoOn, Over, RunCode
from coevolve.rollout.protocol import OUTPUT_FENCE, closed_programs
from coevolve.rollout.seeds import seed_of
from coevolve.rollout.weights import WeightsInTurn
from coevolve.sandbox.base import Tool, ToolResult
from coevolve.types import Ints, StopReason, Trajectory
from coevolve.worlds.base import Contract

_NO_TOKENS = np.zeros(0, np.int32)
_ONE: Mapping[str, Snapshot] = {}  # all seats have the weights of the sampler
_MOMENT_S = 0.02


@dataclass(slots=True, eq=False)
class _Running:
    """One seat of an episode that is being played, and all that it has read and written."""

    id: int  # of its sequence
    episode: Episode
    number: int  # of the seat
    seat: Seat
    environment: Environment
    held: bool = False  # the sampler has its sequence
    session: str | None = None  # once a tool call has opened one
    prompt: Ints | None = None  # once it has had the turn
    tokens: list[Ints] = field(default_factory=list)
    sampled: list[bool] = field(default_factory=list)  # per run of tokens
    logprobs: list[np.ndarray] = field(default_factory=list)
    heard: list[Ints] = field(default_factory=list)  # since the last observation, its end token left out
    length: int = 0

    def add(self, tokens: Ints, logprobs: np.ndarray | None) -> None:
        self.tokens.append(tokens)
        self.sampled.append(logprobs is not None)
        self.logprobs.append(np.zeros(len(tokens), np.float32) if logprobs is None else logprobs)
        self.length += len(tokens)


@dataclass(slots=True, eq=False)
class _Table:
    """The seats of one episode, and how each of them ended."""

    number: int
    seats: list[_Running]
    ends: tuple[Done, ...] = ()


@dataclass(slots=True)
class LoopStats:
    """What one pass of the loop has cost."""

    sampled_tokens: int = 0
    tool_calls: int = 0
    wall_s: float = 0.0
    tool_wait_s: float = 0.0  # time in which nothing could be decoded because a tool result was due


class RolloutLoop:
    """Drives a sampler and a tool over many episodes at once.

    A tool result is due a fixed number of decoding steps after its call, however long the tool really took. So the
    composition of every decoding batch, and with it the last bit of every number, depends on the seeds alone.

    ``run`` plays a list of episodes to their end. For episodes that come one after the other there are ``begin``, then
    ``join`` for each and ``step`` as long as any are ``living``; tool results count as soon as they are there, since
    nothing about the composition of batches is fixed then.

    Args:
        sampler: writes.
        tool: runs code; None where no environment asks for it.
        codec: of the sampler's model.
        contract: how texts look.
        wait_steps: decoding steps from a tool call to its result.
        eos: tokens that end a text.
        sessions: the tool calls of one trajectory share their variables, in a session of its own.
        observation_tokens: what an observation is cut to; None for no limit.
    """

    def __init__(
        self,
        sampler: Sampler,
        tool: Tool | None,
        codec: Codec,
        contract: Contract,
        *,
        wait_steps: int,
        eos: frozenset[int],
        sessions: bool = False,
        observation_tokens: int | None = None,
    ) -> None:
        self._sampler, self._tool, self._codec = sampler, tool, codec
        self._wait, self._eos = wait_steps, eos
        self._sessions = (f"trajectory {i}" for i in count()) if sessions else None
        self._tables: dict[int, _Table] = {}  # of the living episodes
        self._ended: list[_Table] = []  # not yet given back
        self._stats = LoopStats()
        self._begin("", "", in_step=True)

        def shown(text: str) -> str:
            return text if observation_tokens is None else codec.within(text, observation_tokens)

        def both_shown(printed: str, messages: str) -> str:
            if observation_tokens is None:
                return f"{printed}\n{messages}"
            return codec.both_within(printed, messages, observation_tokens)

        self._tools = EpisodeTools(contract, shown, both_shown, codec.quoted)

    def run(
        self, episodes: Sequence[Episode], *, policy: str, contract: str, by_agent: Mapping[str, Snapshot] = _ONE
    ) -> tuple[list[tuple[Trajectory, ...]], LoopStats]:
        """Play all episodes to their end; trajectories come back in their order, one per seat.

        Args:
            episodes: what is played.
            policy: name of the weights, for the record.
            contract: hash of what decides what answers mean, for the record.
            by_agent: the weights of each seat's agent, where they are not all those that the sampler has.
        """
        begin = time.perf_counter()
        self._begin(policy, contract, in_step=True)
        self._weights = WeightsInTurn(self._sampler, by_agent)
        try:
            for table in [self._opened(episode) for episode in episodes]:
                self._seat(table)
            while self._tables:
                self._step()
        finally:
            self._end_all_sessions()
        ended, self._ended = sorted(self._ended, key=lambda table: table.number), []
        played, stats = [self._finished(table) for table in ended], self._stats
        stats.sampled_tokens = sum(t.sampled for seats in played for t in seats)
        stats.wall_s = time.perf_counter() - begin
        return played, stats

    def begin(self, *, policy: str, contract: str) -> None:
        """Have no episodes; those that come are recorded under these names, as in ``run``. The sampler has none."""
        self._begin(policy, contract, in_step=False)

    def _begin(self, policy: str, contract: str, *, in_step: bool) -> None:
        """
        Args:
            in_step: tool results are due at fixed decoding steps.
        """
        self._end_all_sessions()
        self._in_step = in_step
        self._policy, self._contract = policy, contract
        self._tables.clear()
        self._ended.clear()
        self._grown: set[int] = set()  # numbers of the episodes whose text has grown in the present step
        self._running: dict[int, _Running] = {}  # the seats of living episodes, by their ids
        self._table_of: dict[int, _Table] = {}  # and their tables
        # Results by the decoding step at which they are due. All waits are equally long, so the queue is in order.
        self._waiting: deque[tuple[int, _Running, Future[ToolResult]]] = deque()
        self._clock, self._stats = 0, LoopStats()
        self._numbers, self._ids = count(), count()
        self._weights = WeightsInTurn(self._sampler, _ONE)

    def join(self, episode: Episode) -> int:
        """Let an episode begin at the next step; its number, by which it is spoken of."""
        table = self._opened(episode)
        self._seat(table)
        return table.number

    @property
    def living(self) -> int:
        """Episodes that have begun and were not yet given back."""
        return len(self._tables) + len(self._ended)

    def step(self) -> dict[int, tuple[Trajectory, ...]]:
        """Let everybody who may write write one token; the trajectories of the episodes that ended, by number.

        Where all wait for tools the step waits as well, a moment at most.
        """
        self._grown.clear()
        if self._tables:
            self._step()
        ended = {table.number: self._finished(table) for table in self._ended}
        self._ended.clear()
        return ended

    @property
    def grown(self) -> dict[int, str]:
        """Texts up to now of the first seats of living episodes, by number, where the last step has added to them."""
        living = {number: self._tables[number].seats[0] for number in sorted(self._grown & self._tables.keys())}
        return {number: self._codec.decode(np.concatenate(r.tokens)) for number, r in living.items()}

    def give_up(self, number: int) -> None:
        """Forget a living episode for which nobody waits any more."""
        table = self._tables[number]
        for r in table.seats:
            self._release(r)
        self._waiting = deque(entry for entry in self._waiting if entry[1] not in table.seats)
        self._leave(table)

    def _opened(self, episode: Episode) -> _Table:
        seats = zip(episode.seats, episode.environment.open(self._tools), strict=True)
        return _Table(
            next(self._numbers), [_Running(next(self._ids), episode, n, *place) for n, place in enumerate(seats)]
        )

    def _seat(self, table: _Table) -> None:
        """The first seat of an episode begins."""
        self._tables[table.number] = table
        self._running |= {r.id: r for r in table.seats}
        self._table_of |= {r.id: table for r in table.seats}
        self._follow(table.seats[0], Ask(""))

    def _step(self) -> None:
        # 0. Where nobody may write, and no result is due, it is the turn of those who need other weights.
        for id in () if self._waiting else self._weights.change():
            self._running[id].held = True
        # 1. Everybody who may write writes one token. Those who pause hear from their environment.
        for completion in self._sampler.step():
            r = self._running[completion.id]
            r.held = completion.pause is Pause.STOP
            action = self._advance(r, completion)
            if isinstance(action, RunCode):
                self._waiting.append((self._clock + self._wait, r, self._call(r, action.code)))
                self._stats.tool_calls += 1
            else:
                self._follow(r, action)
        # 2. Where all wait for tools the clock jumps to the first result.
        self._clock += 1
        if self._waiting and not self._sampler.active:
            self._clock = max(self._clock, self._waiting[0][0])
        # 3. Results that are due are appended, in the order of their calls, once they are really there.
        paused = time.perf_counter()
        while self._in_step and self._waiting and self._waiting[0][0] <= self._clock:
            self._resume(*self._waiting.popleft()[1:])
        if not self._in_step and self._waiting:
            self._resume_finished()
        self._stats.tool_wait_s += time.perf_counter() - paused

    def _resume_finished(self) -> None:
        """Append the results that are there; where nothing can be decoded meanwhile, wait a moment for the first."""
        if not self._sampler.active:
            wait([future for _, _, future in self._waiting], _MOMENT_S, FIRST_COMPLETED)
        due, self._waiting = self._waiting, deque()
        for entry in due:
            if entry[2].done():
                self._resume(*entry[1:])
            else:
                self._waiting.append(entry)

    def _follow(self, r: _Running, action: Action) -> None:
        """Do what the environment of a seat wants."""
        table = self._table_of[r.id]
        if isinstance(action, GoOn):
            if r.length < r.episode.sampling.max_tokens:
                self._sampler.extend(r.id, _NO_TOKENS)
                return
            action = _cut(r)
        if isinstance(action, Ask):
            self._release(r)
            r = table.seats[action.seat]
            if self._take_turn(r, action.text):
                return
            action = _cut(r)
        assert isinstance(action, Done | Over), "an observation is asked for elsewhere"
        self._release(r)
        ends = action.seats if isinstance(action, Over) else (action,)
        assert len(ends) == len(table.seats), "all seats of an episode end together"
        table.ends = ends
        self._leave(table)
        self._ended.append(table)

    def _leave(self, table: _Table) -> None:
        """An episode lives no longer."""
        self._end_sessions(table)
        del self._tables[table.number]
        for r in table.seats:
            del self._running[r.id], self._table_of[r.id]

    def _release(self, r: _Running) -> None:
        if r.held:
            self._sampler.release(r.id)
        r.held = False

    def _take_turn(self, r: _Running, text: str) -> bool:
        """Let a seat write, as a new sequence that begins with all there is of it; False without room.

        Args:
            text: what it is shown first; its prompt, where it has none yet.
        """
        opening, first = _NO_TOKENS, r.prompt is None
        if r.prompt is None:
            given, text = (text, "") if r.seat.prompt is None else (r.seat.prompt, text)
            assert given, "the first seat of an episode has a prompt"
            r.prompt = self._codec.encode(given)
            opening = self._codec.encode(r.seat.opening) if r.seat.opening else opening
        shown = self._codec.encode(text) if text else _NO_TOKENS
        sampling = r.episode.sampling
        room = sampling.max_tokens - r.length - len(shown) - len(opening)
        if room <= 0:
            return False
        r.heard = [opening]
        for tokens in (shown, opening):
            if len(tokens):
                self._add(r, tokens, None)
        own = r.episode.seed if r.number == 0 else seed_of(r.episode.seed, "seat", r.number)
        seed = own if first else seed_of(own, "turn", r.length)
        limits = replace(sampling, max_tokens=room, stop=r.environment.stop)
        request = SampleRequest(r.id, np.concatenate([r.prompt, *r.tokens]), limits, seed)
        r.held = self._weights.submit(r.seat.agent, request)
        return True

    def _add(self, r: _Running, tokens: Ints, logprobs: np.ndarray | None) -> None:
        r.add(tokens, logprobs)
        self._grown.add(self._table_of[r.id].number)

    def _advance(self, r: _Running, completion: Completion) -> Action:
        """Add what was sampled and ask the environment what follows."""
        self._add(r, completion.tokens, completion.logprobs)
        r.heard.append(completion.tokens[:-1] if completion.pause is Pause.EOS else completion.tokens)
        return r.environment.step(self._codec.decode(np.concatenate(r.heard)), completion.pause)

    def _call(self, r: _Running, code: str) -> Future[ToolResult]:
        assert self._tool is not None
        if self._sessions and r.session is None:
            r.session = next(self._sessions)
        return self._tool.submit(code, r.session)

    def _resume(self, r: _Running, future: Future[ToolResult]) -> None:
        """Append an observation, or end the episode: the result is lost, or there is no room for it."""
        try:
            result = future.result()
        except SandboxInfraError:
            return self._follow(r, Over((Done(StopReason.INFRASTRUCTURE),) * len(self._table_of[r.id].seats)))
        tokens = self._codec.encode_printed(r.environment.observe(result))
        if r.length + len(tokens) >= r.episode.sampling.max_tokens:
            return self._follow(r, _cut(r))
        self._add(r, tokens, None)
        r.heard.clear()
        self._sampler.extend(r.id, tokens)

    def _end_all_sessions(self) -> None:
        for table in self._tables.values():
            self._end_sessions(table)

    def _end_sessions(self, table: _Table) -> None:
        for r in table.seats:
            if r.session is not None and self._tool is not None:
                self._tool.end_session(r.session)
                r.session = None

    def _finished(self, table: _Table) -> tuple[Trajectory, ...]:
        return tuple(self._finish(r, end) for r, end in zip(table.seats, table.ends, strict=True))

    def _finish(self, r: _Running, end: Done) -> Trajectory:
        policy, version = self._weights.of(r.seat.agent) or (self._policy, self._sampler.policy_version)
        tokens = np.concatenate([_NO_TOKENS, *r.tokens])
        ended = end.stop is StopReason.EOS and len(tokens) > 0 and int(tokens[-1]) in self._eos
        text, calls = self._codec.decode(tokens[:-1] if ended else tokens), tuple(r.environment.calls)
        has_tool = OUTPUT_FENCE in r.environment.stop
        return Trajectory(
            task_id=r.episode.id,
            sample=r.episode.sample,
            prompt=_NO_TOKENS if r.prompt is None else r.prompt,
            tokens=tokens,
            mask=np.concatenate([np.zeros(0, np.bool_), *map(np.full, map(len, r.tokens), r.sampled)]),
            logprobs=np.concatenate([np.zeros(0, np.float32), *r.logprobs]).astype(np.float32),
            text=text,
            tool_calls=calls,
            answer=end.answer,
            stop=end.stop,
            policy=policy,
            policy_versions=(version,),
            contract=self._contract,
            agent=r.seat.agent,
            seat=r.number,
            reward=end.reward,
            refused=end.refused,
            unrun=max(0, closed_programs(text) - len(calls)) if has_tool else 0,
        )


def _cut(r: _Running) -> Done | Over:
    """How the episode ends because this seat has no room to go on."""
    action = r.environment.step("", Pause.LENGTH)
    assert isinstance(action, Done | Over), "without room a text ends"
    return action
