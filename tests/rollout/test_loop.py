"""The multi-turn loop under a sampler that follows a script: who gets which tokens, and how a trajectory ends."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest

from coevolve.engine.base import Completion, Pause, SampleRequest, Sampling
from coevolve.errors import SandboxInfraError
from coevolve.rollout.codec import Codec
from coevolve.rollout.environments import Environment, PythonToolEnvironment, WritingEnvironment
from coevolve.rollout.loop import Job, LoopStats, RolloutLoop
from coevolve.sandbox.base import Stats, Status, ToolResult
from coevolve.types import Ints, StopReason, Trajectory
from coevolve.worlds.miniature.contract import MiniatureContract
from coevolve.worlds.miniature.learner import ASSETS

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
    extended: dict[int, list[Ints]] = field(default_factory=dict)
    given: dict[int, list[Completion]] = field(default_factory=dict)
    released: list[int] = field(default_factory=list)
    ready: set[int] = field(default_factory=set)
    history: list[tuple[int, ...]] = field(default_factory=list)  # who was active at each step

    def submit(self, request: SampleRequest) -> None:
        self.requests[request.id] = request
        self.ready.add(request.id)

    def extend(self, id: int, tokens: Ints) -> None:
        self.extended.setdefault(id, []).append(tokens)
        self.ready.add(id)

    def release(self, id: int) -> None:
        self.released.append(id)

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
    layers: Mapping[str, str] = field(default_factory=dict)

    def submit(self, code: str, session: str | None = None) -> Future[ToolResult]:
        self.asked.append(code)
        future: Future[ToolResult] = Future()
        if self.slow is None:
            self._answer(code, future)
        else:
            threading.Timer(self.slow.uniform(0, 0.05), self._answer, (code, future)).start()
        return future

    def run(self, code: str, session: str | None = None) -> ToolResult:
        return self.submit(code, session).result()

    def end_session(self, session: str) -> None:
        return

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
    tool: TableTool


def play(
    *scripts: list[Segment],
    opening: str = "",
    max_tokens: int = 200,
    max_turns: int = 2,
    tool: TableTool | None = None,
    tooled: bool = True,
) -> Played:
    """Run the loop over scripts with the tool environment of the miniature world."""
    sampler, tool = ScriptedSampler({i: list(s) for i, s in enumerate(scripts)}), tool or TableTool()
    forced = codec().encode(opening) if opening else np.zeros(0, np.int32)
    prompt = codec().encode("<question>Let a = 1 + 2. Find a.</question>\n")
    jobs = [(Job(f"t{i}", 0, prompt, forced, seed=i), _environment(max_turns, tooled)) for i in range(len(scripts))]
    loop = RolloutLoop(sampler, tool, codec(), wait_steps=3, eos=frozenset({EOS}))
    trajectories, stats = loop.run(jobs, Sampling(max_tokens=max_tokens), policy="solver-1", contract="c")
    return Played(trajectories, stats, sampler, tool)


def _environment(max_turns: int, tooled: bool) -> Environment:
    return PythonToolEnvironment(MiniatureContract(), max_turns) if tooled else WritingEnvironment(("</question>",))


CALL = ["a:\n", "```python\n", "print(", "1+2", ")", "\n```\n", "```output\n"]
ANSWER = ["\\boxed{", "3", "}"]


def test_only_what_the_policy_sampled_is_trained_on() -> None:
    played = play([(CALL, Pause.STOP), (ANSWER, Pause.EOS)], opening="a:\n")
    (t,) = played.trajectories
    first, last = played.sampler.given[0]
    observation = played.sampler.extended[0][0]
    expected = [False] * len(ids_of(["a:\n"])) + [True] * len(first.tokens)
    expected += [False] * len(observation) + [True] * len(last.tokens)
    assert t.mask.tolist() == expected
    np.testing.assert_array_equal(t.logprobs[t.mask], np.concatenate([first.logprobs, last.logprobs]))
    assert not t.logprobs[~t.mask].any()
    assert (t.stop, t.answer, t.policy_version, t.policy) == (StopReason.EOS, "3", 3, "solver-1")


def test_tokens_are_the_samplers_own_and_never_encoded_again() -> None:
    pieces = ["a:\n", "```python\n", "print(", "(", "1", ")", ")", "\n```\n", "```output\n"]
    played = play([(pieces, Pause.STOP), ([")", ")", *ANSWER], Pause.EOS)])
    (t,) = played.trajectories
    merged = codec().encode(codec().decode(t.tokens[:-1]))
    assert len(merged) < len(t.tokens) - 1, "the script should hold a split that encoding would not make"
    parts = [played.sampler.given[0][0].tokens, played.sampler.extended[0][0], played.sampler.given[0][1].tokens]
    np.testing.assert_array_equal(t.tokens, np.concatenate(parts))
    np.testing.assert_array_equal(t.prompt, played.sampler.requests[0].prompt)
    assert t.text == codec().decode(t.tokens[:-1])


def test_the_opening_is_part_of_what_the_tool_is_given_and_of_the_budget() -> None:
    played = play([(CALL[2:], Pause.STOP), (ANSWER, Pause.EOS)], opening="a:\n```python\n", max_tokens=50)
    (t,) = played.trajectories
    assert played.tool.asked == ["print(1+2)"]
    request = played.sampler.requests[0]
    np.testing.assert_array_equal(request.prompt, np.concatenate([t.prompt, ids_of(["a:\n```python\n"])]))
    assert request.sampling.max_tokens == 50 - len(ids_of(["a:\n```python\n"]))
    assert t.text.startswith("a:\n```python\nprint(1+2)")


@pytest.mark.parametrize(
    "segment",
    [
        ["```output\n"],
        ["a", "```output\n"],
        ["```python\n", "print(", "1", "```output\n"],
        ["```python\n", "print(", "1", ")", "\n```\n", "a", "```output\n"],
        ["\\boxed{", "3", "}", "```output\n"],
    ],
)
def test_a_forged_output_fence_ends_the_trajectory_and_earns_nothing(segment: list[str]) -> None:
    played = play([(segment, Pause.STOP)])
    (t,) = played.trajectories
    assert (t.stop, t.answer, t.tool_calls) == (StopReason.PROTOCOL, None, ())
    assert played.tool.asked == []
    assert played.sampler.released == [0]
    assert played.stats.tool_calls == 0


def test_a_printed_fence_earns_no_call_and_closes_nothing() -> None:
    tool = TableTool({"print(1+2)": printed("```output\n9\n```\n\\boxed{9}")})
    played = play([(CALL, Pause.STOP), (["a"], Pause.EOS)], tool=tool)
    (t,) = played.trajectories
    assert len(t.tool_calls) == 1
    assert t.answer is None


def test_only_text_after_the_last_observation_holds_the_answer() -> None:
    tool = TableTool({"print(1+2)": printed("1")})
    boxed_before = play([([*ANSWER, "\n", *CALL[1:]], Pause.STOP), (["a"], Pause.EOS)], tool=tool).trajectories[0]
    assert (boxed_before.stop, boxed_before.answer) == (StopReason.EOS, None)
    twice = play([(CALL, Pause.STOP), ([*ANSWER, "\n", *CALL[1:]], Pause.STOP), (ANSWER, Pause.EOS)], tool=tool)
    assert twice.trajectories[0].answer == "3"
    assert len(twice.trajectories[0].tool_calls) == 2


class PrintsABox(MiniatureContract):
    """A world whose observations may hold anything, boxes too."""

    def observation(self, status: str, stdout: str, stderr: str) -> str:
        return stdout


def test_a_box_that_a_snippet_prints_is_no_answer() -> None:
    environment = PythonToolEnvironment(PrintsABox(), 2)
    environment.step("```python\nprint(1)\n```\n```output\n", Pause.STOP)
    assert "\\boxed{1}" in environment.observe(printed("\\boxed{1}"))
    done = environment.step("so it is", Pause.EOS)
    assert done.stop is StopReason.EOS  # type: ignore[union-attr]
    assert done.answer is None  # type: ignore[union-attr]


def test_every_other_end_has_its_name_and_carries_no_answer() -> None:
    boxed_call = ([*ANSWER, "\n", *CALL[1:]], Pause.STOP)
    lost = ["a:\n", "```python\n", "print(", "9", ")", "\n```\n", "```output\n"]
    played = play(
        [(ANSWER, Pause.LENGTH)],
        [boxed_call, boxed_call, boxed_call],
        [([*ANSWER, "```output\n"], Pause.STOP)],
        [([*ANSWER, *lost], Pause.STOP)],
        [(ANSWER, Pause.EOS)],
        tool=TableTool(lost=frozenset({"print(9)"})),
    )
    assert [t.stop for t in played.trajectories] == [
        StopReason.LENGTH,
        StopReason.TURNS,
        StopReason.PROTOCOL,
        StopReason.INFRASTRUCTURE,
        StopReason.EOS,
    ]
    assert [t.answer for t in played.trajectories] == [None, None, None, None, "3"]
    assert [len(t.tool_calls) for t in played.trajectories] == [0, 2, 0, 0, 0]
    assert sorted(played.sampler.released) == [1, 2, 3]


def test_an_observation_that_does_not_fit_ends_the_trajectory_within_its_budget() -> None:
    room = len(ids_of(CALL)) + len(ids_of(["7\n```\n"]))  # full, with no token left to go on
    played = play([(CALL, Pause.STOP)], max_tokens=room)
    (t,) = played.trajectories
    assert (t.stop, t.answer) == (StopReason.LENGTH, None)
    assert len(t.tokens) <= room
    assert len(t.tool_calls) == 1, "it was executed"
    assert played.sampler.released == [0]


def test_a_failed_snippet_is_an_observation_and_its_status_is_kept() -> None:
    failed = ToolResult(Status.TIMEOUT, "", "", False, None, 9, 1.0, 1.0)
    played = play([(CALL, Pause.STOP), (ANSWER, Pause.EOS)], tool=TableTool({"print(1+2)": failed}))
    (call,) = played.trajectories[0].tool_calls
    assert (call.code, call.observation, call.status) == ("print(1+2)", "error", "timeout")


def test_slow_tools_change_nothing_but_the_time() -> None:
    scripts: list[list[Segment]] = [
        [(CALL, Pause.STOP)] * (i % 3) + [(["a"] * (1 + i % 4), Pause.LENGTH if i % 5 == 4 else Pause.EOS)]
        for i in range(9)
    ]
    quick, slow = play(*scripts), play(*scripts, tool=TableTool(slow=random.Random(1)))
    assert quick.sampler.history == slow.sampler.history
    for a, b in zip(quick.trajectories, slow.trajectories, strict=True):
        np.testing.assert_array_equal(a.tokens, b.tokens)
        assert (a.stop, a.answer, a.tool_calls) == (b.stop, b.answer, b.tool_calls)
    assert slow.stats.tool_wait_s > quick.stats.tool_wait_s


def test_a_proposers_text_ends_with_its_stop_string() -> None:
    played = play([(["Find ", "a", ".", "</question>"], Pause.STOP)], [(["Find "], Pause.LENGTH)], tooled=False)
    assert [t.stop for t in played.trajectories] == [StopReason.EOS, StopReason.LENGTH]
    assert [t.text for t in played.trajectories] == ["Find a.</question>", "Find "]
    assert played.sampler.requests[0].sampling.stop == ("</question>",)
    assert played.sampler.released == [0]


def test_without_a_tool_a_fence_is_only_text() -> None:
    played = play([([*CALL, "3", "\n```\n", *ANSWER], Pause.EOS)], tooled=False)
    (t,) = played.trajectories
    assert (t.answer, t.tool_calls) == ("3", ())
    assert played.tool.asked == []
