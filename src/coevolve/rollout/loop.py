"""The one multi-turn loop: every agent, phase and evaluation gets its trajectories here.

Token lists only grow: text is decoded for the tool and the grader and never re-encoded onto the training path.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from coevolve.engine.base import Completion, Pause, Sampler, SampleRequest
from coevolve.errors import SandboxInfraError
from coevolve.rollout.base import Episode, Seat
from coevolve.rollout.codec import Codec
from coevolve.rollout.environments import Action, Ask, Done, Environment, EpisodeTools, GoOn, Over, RunCode
from coevolve.rollout.seeds import seed_of
from coevolve.sandbox.base import Tool, ToolResult
from coevolve.types import Ints, StopReason, Trajectory
from coevolve.worlds.base import Contract

_NO_TOKENS = np.zeros(0, np.int32)


@dataclass(slots=True)
class _Running:
    """One seat of an episode that is being played, and all that it has read and written."""

    id: int  # of its sequence
    episode: Episode
    number: int  # of the seat
    seat: Seat
    environment: Environment
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

        def shown(text: str) -> str:
            return text if observation_tokens is None else codec.within(text, observation_tokens)

        def both_shown(printed: str, messages: str) -> str:
            if observation_tokens is None:
                return f"{printed}\n{messages}"
            return codec.both_within(printed, messages, observation_tokens)

        self._tools = EpisodeTools(contract, shown, both_shown, codec.quoted)

    def run(
        self, episodes: Sequence[Episode], *, policy: str, contract: str
    ) -> tuple[list[tuple[Trajectory, ...]], LoopStats]:
        """Play all episodes to their end; trajectories come back in their order, one per seat.

        Args:
            episodes: what is played.
            policy: name of the weights, for the record.
            contract: hash of what decides what answers mean, for the record.
        """
        begin, stats, ids = time.perf_counter(), LoopStats(), count()
        tables = [
            [_Running(next(ids), e, n, *place) for n, place in enumerate(zip(e.seats, opened, strict=True))]
            for e, opened in ((e, e.environment.open(self._tools)) for e in episodes)
        ]
        try:
            ends = self._play(tables, stats)
        finally:
            for table in tables:
                self._end_sessions(table)
        version = self._sampler.policy_version
        played = [tuple(self._finish(r, ends[r.id], policy, version, contract) for r in table) for table in tables]
        stats.sampled_tokens = sum(t.sampled for seats in played for t in seats)
        stats.wall_s = time.perf_counter() - begin
        return played, stats

    def _play(self, tables: Sequence[list[_Running]], stats: LoopStats) -> dict[int, Done]:
        """How each seat ended, by the id of its sequence. A table holds the seats of one episode."""
        running = [r for table in tables for r in table]
        table_of = {r.id: table for table in tables for r in table}
        ends: dict[int, Done] = {}
        # Results by the decoding step at which they are due. All waits are equally long, so the queue is in order.
        waiting: deque[tuple[int, _Running, Future[ToolResult]]] = deque()
        clock = 0
        for table in tables:
            ends |= self._follow(table, table[0], Ask(""), held=False)  # the first seat begins
        while len(ends) < len(running):
            # 1. Everybody who may write writes one token. Those who pause hear from their environment.
            for completion in self._sampler.step():
                r = running[completion.id]
                action = self._advance(r, completion)
                if isinstance(action, RunCode):
                    waiting.append((clock + self._wait, r, self._call(r, action.code)))
                    stats.tool_calls += 1
                else:
                    ends |= self._follow(table_of[r.id], r, action, held=completion.pause is Pause.STOP)
            # 2. Where all wait for tools the clock jumps to the first result.
            clock += 1
            if waiting and not self._sampler.active:
                clock = max(clock, waiting[0][0])
            # 3. Results that are due are appended, in the order of their calls, once they are really there.
            paused = time.perf_counter()
            while waiting and waiting[0][0] <= clock:
                _, r, future = waiting.popleft()
                ends |= self._resume(table_of[r.id], r, future)
            stats.tool_wait_s += time.perf_counter() - paused
        return ends

    def _follow(self, table: list[_Running], r: _Running, action: Action, *, held: bool) -> dict[int, Done]:
        """Do what the environment of a seat wants; how seats ended by it.

        Args:
            held: the sampler still holds the sequence, which a stop string has paused.
        """
        if isinstance(action, GoOn):
            if r.length < r.episode.sampling.max_tokens:
                self._sampler.extend(r.id, _NO_TOKENS)
                return {}
            action = _cut(r)
        if isinstance(action, Ask):
            if held:
                self._sampler.release(r.id)
            held, r = False, table[action.seat]
            if self._take_turn(r, action.text):
                return {}
            action = _cut(r)
        assert isinstance(action, Done | Over), "an observation is asked for elsewhere"
        self._end_sessions(table)
        if held:
            self._sampler.release(r.id)
        ends = action.seats if isinstance(action, Over) else (action,)
        return {r.id: end for r, end in zip(table, ends, strict=True)}

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
                r.add(tokens, None)
        own = r.episode.seed if r.number == 0 else seed_of(r.episode.seed, "seat", r.number)
        seed = own if first else seed_of(own, "turn", r.length)
        limits = replace(sampling, max_tokens=room, stop=r.environment.stop)
        self._sampler.submit(SampleRequest(r.id, np.concatenate([r.prompt, *r.tokens]), limits, seed))
        return True

    def _advance(self, r: _Running, completion: Completion) -> Action:
        """Add what was sampled and ask the environment what follows."""
        r.add(completion.tokens, completion.logprobs)
        r.heard.append(completion.tokens[:-1] if completion.pause is Pause.EOS else completion.tokens)
        return r.environment.step(self._codec.decode(np.concatenate(r.heard)), completion.pause)

    def _call(self, r: _Running, code: str) -> Future[ToolResult]:
        assert self._tool is not None
        if self._sessions and r.session is None:
            r.session = next(self._sessions)
        return self._tool.submit(code, r.session)

    def _resume(self, table: list[_Running], r: _Running, future: Future[ToolResult]) -> dict[int, Done]:
        """Append an observation, or end the episode: the result is lost, or there is no room for it."""
        try:
            result = future.result()
        except SandboxInfraError:
            lost = Over((Done(StopReason.INFRASTRUCTURE),) * len(table))
            return self._follow(table, r, lost, held=True)
        tokens = self._codec.encode_printed(r.environment.observe(result))
        if r.length + len(tokens) >= r.episode.sampling.max_tokens:
            return self._follow(table, r, _cut(r), held=True)
        r.add(tokens, None)
        r.heard.clear()
        self._sampler.extend(r.id, tokens)
        return {}

    def _end_sessions(self, table: Sequence[_Running]) -> None:
        for r in table:
            if r.session is not None and self._tool is not None:
                self._tool.end_session(r.session)
                r.session = None

    def _finish(self, r: _Running, end: Done, policy: str, version: int, contract: str) -> Trajectory:
        tokens = np.concatenate([_NO_TOKENS, *r.tokens])
        ended = end.stop is StopReason.EOS and len(tokens) > 0 and int(tokens[-1]) in self._eos
        return Trajectory(
            task_id=r.episode.id,
            sample=r.episode.sample,
            prompt=_NO_TOKENS if r.prompt is None else r.prompt,
            tokens=tokens,
            mask=np.concatenate([np.zeros(0, np.bool_), *map(np.full, map(len, r.tokens), r.sampled)]),
            logprobs=np.concatenate([np.zeros(0, np.float32), *r.logprobs]).astype(np.float32),
            text=self._codec.decode(tokens[:-1] if ended else tokens),
            tool_calls=tuple(r.environment.calls),
            answer=end.answer,
            stop=end.stop,
            policy=policy,
            policy_versions=(version,),
            contract=contract,
            agent=r.seat.agent,
            seat=r.number,
            reward=end.reward,
        )


def _cut(r: _Running) -> Done | Over:
    """How the episode ends because this seat has no room to go on."""
    action = r.environment.step("", Pause.LENGTH)
    assert isinstance(action, Done | Over), "without room a text ends"
    return action
