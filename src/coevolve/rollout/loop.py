"""The one multi-turn loop: every role, phase and evaluation gets its trajectories here.

Token lists only grow: text is decoded for the tool and the grader and never re-encoded onto the training path.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from coevolve.engine.base import Completion, Pause, Sampler, SampleRequest, Sampling
from coevolve.errors import SandboxInfraError
from coevolve.rollout.codec import Codec
from coevolve.rollout.environments import Ask, Done, Environment, GoOn, RunCode
from coevolve.rollout.seeds import seed_of
from coevolve.sandbox.base import Tool, ToolResult
from coevolve.types import Ints, StopReason, Trajectory

_NO_TOKENS = np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True)
class Job:
    """One trajectory to make."""

    task_id: str
    sample: int
    prompt: Ints
    opening: Ints  # forced start of the answer; not sampled, never trained on
    seed: int
    follow_ups: tuple[str, ...] = ()  # user turns after the one in the prompt


@dataclass(slots=True)
class _Episode:
    job: Job
    environment: Environment
    session: str | None = None  # once a tool call has opened one
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
    """Drives a sampler and a tool over many environments at once.

    A tool result is due a fixed number of decoding steps after its call, however long the tool really took. So the
    composition of every decoding batch, and with it the last bit of every number, depends on the seed alone.

    Args:
        sampler: writes.
        tool: runs code; None where no environment asks for it.
        codec: of the sampler's model.
        wait_steps: decoding steps from a tool call to its result.
        eos: tokens that end a text.
        sessions: the tool calls of one trajectory share their variables, in a session of its own.
    """

    def __init__(
        self,
        sampler: Sampler,
        tool: Tool | None,
        codec: Codec,
        *,
        wait_steps: int,
        eos: frozenset[int],
        sessions: bool = False,
    ) -> None:
        self._sampler, self._tool, self._codec = sampler, tool, codec
        self._wait, self._eos = wait_steps, eos
        self._sessions = (f"trajectory {i}" for i in count()) if sessions else None

    def run(
        self,
        jobs: Sequence[tuple[Job, Environment]],
        sampling: Sampling,
        *,
        policy: str,
        contract: str,
    ) -> tuple[list[Trajectory], LoopStats]:
        """Finish all jobs; trajectories come back in the order of the jobs."""
        begin, stats = time.perf_counter(), LoopStats()
        episodes = [_Episode(job, environment) for job, environment in jobs]
        try:
            done = self._play(episodes, sampling, stats)
        finally:
            for episode in episodes:
                self._end_session(episode)
        version = self._sampler.policy_version
        trajectories = [self._finish(e, *done[i], policy, version, contract) for i, e in enumerate(episodes)]
        stats.sampled_tokens = sum(t.sampled for t in trajectories)
        stats.wall_s = time.perf_counter() - begin
        return trajectories, stats

    def _play(
        self, episodes: Sequence[_Episode], sampling: Sampling, stats: LoopStats
    ) -> dict[int, tuple[StopReason, str | None]]:
        """Bring all episodes to their end; why each ended, and its answer."""
        done: dict[int, tuple[StopReason, str | None]] = {}
        for id, episode in enumerate(episodes):
            self._start(id, episode, sampling)
        waiting: list[tuple[int, int, Future[ToolResult]]] = []  # due step, id, result
        clock = 0
        while len(done) < len(episodes):
            for completion in self._sampler.step():
                episode = episodes[completion.id]
                action = self._advance(episode, completion)
                if isinstance(action, GoOn) and episode.length < sampling.max_tokens:
                    self._sampler.extend(completion.id, _NO_TOKENS)
                elif isinstance(action, GoOn):
                    done[completion.id] = (StopReason.LENGTH, None)
                    self._end_session(episode)
                    self._sampler.release(completion.id)
                elif isinstance(action, Ask):
                    if completion.pause is Pause.STOP:
                        self._sampler.release(completion.id)
                    if not self._ask(completion.id, episode, action.text, sampling):
                        done[completion.id] = (StopReason.LENGTH, None)
                        self._end_session(episode)
                elif isinstance(action, RunCode):
                    waiting.append((clock + self._wait, completion.id, self._call(episode, action.code)))
                    stats.tool_calls += 1
                else:
                    done[completion.id] = (action.stop, action.answer)
                    self._end_session(episode)
                    if completion.pause is Pause.STOP:
                        self._sampler.release(completion.id)
            clock += 1
            if waiting and not self._sampler.active:
                clock = max(clock, waiting[0][0])
            paused = time.perf_counter()
            while waiting and waiting[0][0] <= clock:
                _, id, future = waiting.pop(0)
                outcome = self._resume(id, episodes[id], future, sampling.max_tokens)
                if outcome is not None:
                    done[id] = (outcome, None)
                    self._end_session(episodes[id])
                    self._sampler.release(id)
            stats.tool_wait_s += time.perf_counter() - paused
        return done

    def _call(self, episode: _Episode, code: str) -> Future[ToolResult]:
        assert self._tool is not None
        if self._sessions and episode.session is None:
            episode.session = next(self._sessions)
        return self._tool.submit(code, episode.session)

    def _end_session(self, episode: _Episode) -> None:
        if episode.session is not None and self._tool is not None:
            self._tool.end_session(episode.session)
            episode.session = None

    def _start(self, id: int, episode: _Episode, sampling: Sampling) -> None:
        job = episode.job
        prompt = job.prompt
        if len(job.opening):
            episode.add(job.opening, None)
            episode.heard.append(job.opening)
            prompt = np.concatenate([prompt, job.opening])
        room = Sampling(
            sampling.temperature, sampling.top_p, sampling.max_tokens - len(job.opening), episode.environment.stop
        )
        self._sampler.submit(SampleRequest(id, prompt, room, job.seed))

    def _ask(self, id: int, episode: _Episode, text: str, sampling: Sampling) -> bool:
        """Go on after a further user turn, as a new sequence that begins with all there is; False without room."""
        tokens = self._codec.encode(text)
        room = sampling.max_tokens - episode.length - len(tokens)
        if room <= 0:
            return False
        episode.add(tokens, None)
        episode.heard.clear()
        prompt = np.concatenate([episode.job.prompt, *episode.tokens])
        seed = seed_of(episode.job.seed, "turn", episode.length)
        limits = replace(sampling, max_tokens=room, stop=episode.environment.stop)
        self._sampler.submit(SampleRequest(id, prompt, limits, seed))
        return True

    def _advance(self, episode: _Episode, completion: Completion) -> RunCode | GoOn | Ask | Done:
        """Add what was sampled and ask the environment what follows."""
        episode.add(completion.tokens, completion.logprobs)
        episode.heard.append(completion.tokens[:-1] if completion.pause is Pause.EOS else completion.tokens)
        return episode.environment.step(self._codec.decode(np.concatenate(episode.heard)), completion.pause)

    def _resume(self, id: int, episode: _Episode, future: Future[ToolResult], max_tokens: int) -> StopReason | None:
        """Append the observation, or say why the trajectory ends here."""
        try:
            result = future.result()
        except SandboxInfraError:
            return StopReason.INFRASTRUCTURE
        tokens = self._codec.encode_printed(episode.environment.observe(result))
        if episode.length + len(tokens) >= max_tokens:
            return StopReason.LENGTH
        episode.add(tokens, None)
        episode.heard.clear()
        self._sampler.extend(id, tokens)
        return None

    def _finish(
        self, e: _Episode, stop: StopReason, answer: str | None, policy: str, version: int, contract: str
    ) -> Trajectory:
        tokens = np.concatenate(e.tokens)
        ended = stop is StopReason.EOS and int(tokens[-1]) in self._eos
        return Trajectory(
            task_id=e.job.task_id,
            sample=e.job.sample,
            prompt=e.job.prompt,
            tokens=tokens,
            mask=np.concatenate([np.full(len(t), s) for t, s in zip(e.tokens, e.sampled, strict=True)]),
            logprobs=np.concatenate(e.logprobs).astype(np.float32),
            text=self._codec.decode(tokens[:-1] if ended else tokens),
            tool_calls=tuple(e.environment.calls),
            answer=answer,
            stop=stop,
            policy=policy,
            policy_versions=(version,),
            contract=contract,
        )
