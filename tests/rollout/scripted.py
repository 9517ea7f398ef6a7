"""A sampler and a tool that follow a script, under the real loop, environments and codec."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from coevolve.engine.base import Completion, Pause, SampleRequest, Sampling
from coevolve.errors import SandboxInfraError
from coevolve.rollout.base import Episode, Seat
from coevolve.rollout.codec import Codec
from coevolve.rollout.environments import (
    DialogueSpec,
    Environment,
    EnvironmentSpec,
    EpisodeTools,
    ToolSpec,
    WritingSpec,
)
from coevolve.rollout.loop import LoopStats, RolloutLoop
from coevolve.sandbox.base import Stats, Status, Tool, ToolResult
from coevolve.types import PROPOSER, SOLVER, Ints, Trajectory
from coevolve.worlds.base import Contract
from coevolve.worlds.miniature.learner import ASSETS, MiniatureContract

EOS = 1
Segment = tuple[Sequence[str], Pause]  # pieces that are encoded one by one, and why the sampler pauses after them


@cache
def codec() -> Codec:
    return Codec(ASSETS)


def ids_of(pieces: Iterable[str]) -> Ints:
    """Token ids of the pieces as they stand; decoding and encoding them again would merge some."""
    return np.concatenate([codec().encode(p) for p in pieces]).astype(np.int32)


@dataclass
class ScriptedSampler:
    """Each sequence gives its next segment at each step in which it is active."""

    scripts: dict[int, list[Segment]]
    policy_version: int = 3
    requests: dict[int, SampleRequest] = field(default_factory=dict)
    all_requests: list[SampleRequest] = field(default_factory=list)
    extended: dict[int, list[Ints]] = field(default_factory=dict)
    given: dict[int, list[Completion]] = field(default_factory=dict)
    released: list[int] = field(default_factory=list)
    ready: set[int] = field(default_factory=set)
    history: list[tuple[int, ...]] = field(default_factory=list)  # who was active at each step

    def submit(self, request: SampleRequest) -> None:
        self.requests[request.id] = request
        self.all_requests.append(request)
        self.ready.add(request.id)

    def extend(self, id: int, tokens: Ints) -> None:
        self.extended.setdefault(id, []).append(tokens)
        self.ready.add(id)

    def release(self, id: int) -> None:
        self.released.append(id)
        self.ready.discard(id)

    @property
    def active(self) -> int:
        return len(self.ready)

    def step(self) -> list[Completion]:
        self.history.append(tuple(sorted(self.ready)))
        out = []
        for id in sorted(self.ready):
            pieces, pause = self.scripts[id].pop(0)
            tokens = ids_of(pieces)
            if pause is Pause.EOS:
                tokens = np.append(tokens, np.int32(EOS)).astype(np.int32)
            logprobs = -0.25 * np.arange(1, len(tokens) + 1, dtype=np.float32)
            out.append(Completion(id, tokens, logprobs, pause))
            self.given.setdefault(id, []).append(out[-1])
        self.ready.clear()
        return out


@dataclass
class TableTool:
    """Answers from a table; code that it does not know prints 7. ``lost`` code fails in the infrastructure."""

    table: dict[str, ToolResult] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    slow: random.Random | None = None
    asked: list[str] = field(default_factory=list)
    sessions: list[str | None] = field(default_factory=list)  # of what was asked
    ended: list[str] = field(default_factory=list)
    layers: Mapping[str, str] = field(default_factory=dict)

    def submit(self, code: str, session: str | None = None) -> Future[ToolResult]:
        self.asked.append(code)
        self.sessions.append(session)
        future: Future[ToolResult] = Future()
        if self.slow is None:
            self._answer(code, future)
        else:
            threading.Timer(self.slow.uniform(0, 0.05), self._answer, (code, future)).start()
        return future

    def run(self, code: str, session: str | None = None) -> ToolResult:
        return self.submit(code, session).result()

    def end_session(self, session: str) -> None:
        self.ended.append(session)

    @property
    def stats(self) -> Stats:
        return Stats(len(self.asked), 0, 0, 0.0, 0.0)

    def close(self) -> None:
        return

    def _answer(self, code: str, future: Future[ToolResult]) -> None:
        if code in self.lost:
            future.set_exception(SandboxInfraError("the sandbox was lost"))
        else:
            future.set_result(self.table.get(code, printed("7\n")))


def printed(text: str) -> ToolResult:
    return ToolResult(Status.OK, text, "", False, 0, None, 1.0, 1.0)


@dataclass
class Played:
    """What came of a scripted loop."""

    trajectories: list[Trajectory]
    stats: LoopStats
    sampler: ScriptedSampler
    tool: Any  # the one that was played with


def play(
    *scripts: list[Segment],
    opening: str = "",
    max_tokens: int = 200,
    max_turns: int = 2,
    tool: Tool | None = None,
    tooled: bool = True,
    sessions: bool = False,
    passes: int = 1,
    follow_ups: Sequence[str] = (),
    all_turns: bool = False,
) -> Played:
    """Run the loop over scripts with the tool environment of the miniature world, and keep its last pass."""
    sampler, tool = ScriptedSampler({}), tool or TableTool()
    place: EnvironmentSpec = ToolSpec(SOLVER, max_turns) if tooled else WritingSpec(PROPOSER)
    if follow_ups:
        place = DialogueSpec(place, tuple(follow_ups), all_turns)
    loop = loop_of(sampler, tool, sessions=sessions)
    for _ in range(passes):
        sampler.scripts = {i: list(s) for i, s in enumerate(scripts)}
        sampling, seats = Sampling(max_tokens=max_tokens), (Seat(SOLVER, PROMPT, opening),)
        episodes = [Episode(f"t{i}", 0, seats, place, sampling, seed=i) for i in sampler.scripts]
        played, stats = loop.run(episodes, policy="solver-1", contract="c")
    return Played([only for (only,) in played], stats, sampler, tool)


def tool_environment(contract: Contract, max_turns: int, *, at_fence: bool = False, echo: bool = False) -> Environment:
    """The environment of a solver with the tool, which is shown everything."""
    tools = EpisodeTools(contract, str, "{}\n{}".format, str)
    return ToolSpec(SOLVER, max_turns, at_fence, echo).open(tools)[0]


def episode(i: int, max_turns: int = 2) -> Episode:
    """One that may use the tool."""
    return Episode(f"t{i}", 0, (Seat(SOLVER, PROMPT),), ToolSpec(SOLVER, max_turns), Sampling(), seed=i)


def loop_of(sampler: ScriptedSampler, tool: Tool | None, *, sessions: bool = False) -> RolloutLoop:
    """The real loop in the miniature world."""
    eos = frozenset({EOS})
    return RolloutLoop(sampler, tool, codec(), MiniatureContract(), wait_steps=3, eos=eos, sessions=sessions)


PROMPT = "<question>Let a = 1 + 2. Find a.</question>\n"
CALL = ["a:\n", "```python\n", "print(", "1+2", ")", "\n```\n", "```output\n"]
ANSWER = ["\\boxed{", "3", "}"]
