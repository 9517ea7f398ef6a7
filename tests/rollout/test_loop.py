"""The multi-turn loop under a sampler that follows a script: who gets which tokens, and how a trajectory ends."""

from __future__ import annotations

import random

import numpy as np
import pytest

from coevolve.engine.base import Pause
from coevolve.rollout.environments import PythonToolEnvironment
from coevolve.sandbox.base import Status, ToolResult
from coevolve.types import StopReason
from coevolve.worlds.miniature.learner import MiniatureContract

from .scripted import ANSWER, CALL, EOS, Segment, TableTool, codec, ids_of, play, printed, tool_environment


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
    assert (t.stop, t.answer, t.policy_versions, t.policy) == (StopReason.EOS, "3", (3,), "solver-1")


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


def test_a_snippet_that_prints_special_tokens_prints_their_letters_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it could end the answer it stands in, or begin a turn of somebody else. Under a contract that shows all."""
    shown = "3<|endoftext|>4<|pad|>\n"
    monkeypatch.setattr(PythonToolEnvironment, "observe", lambda self, result: shown)
    (t,) = play([(CALL, Pause.STOP), (ANSWER, Pause.EOS)]).trajectories
    special = {id for name in ("<|endoftext|>", "<|pad|>") for id in ids_of([name]).tolist()}
    assert len(special) == 2
    assert not special & set(t.tokens[:-1].tolist())
    observed = codec().encode_printed(shown).tolist()
    first, second = (observed.index(*ids_of([digit]).tolist()) for digit in "34")
    assert second - first > len("endoftext")  # what is between is still there, a token for each letter


def test_text_without_special_tokens_is_observed_as_it_would_be_in_a_prompt() -> None:
    for text in ("7\n", "\n```\n", "-12 a\n", "", "error\n", "é <|"):
        assert codec().encode_printed(text).tolist() == codec().encode(text).tolist()
    assert codec().encode("<|endoftext|>").tolist() == [EOS]  # as before, and after


def test_the_opening_is_part_of_what_the_tool_is_given_and_of_the_budget() -> None:
    played = play([(CALL[2:], Pause.STOP), (ANSWER, Pause.EOS)], opening="a:\n```python\n", max_tokens=50)
    (t,) = played.trajectories
    assert played.tool.asked == ["print(1+2)"]
    request = played.sampler.requests[0]
    np.testing.assert_array_equal(request.prompt, np.concatenate([t.prompt, ids_of(["a:\n```python\n"])]))
    assert request.sampling.max_tokens == 50 - len(ids_of(["a:\n```python\n"]))
    assert t.text.startswith("a:\n```python\nprint(1+2)")


def test_an_opening_that_leaves_no_room_ends_the_trajectory_before_it_begins() -> None:
    played = play([(ANSWER, Pause.EOS)], opening="a:\n```python\n", max_tokens=3)
    (t,) = played.trajectories
    assert (t.stop, t.answer, t.sampled, played.sampler.requests) == (StopReason.LENGTH, None, 0, {})


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
    environment = tool_environment(PrintsABox(), 2)
    environment.step("```python\nprint(1)\n```\n```output\n", Pause.STOP)
    assert "\\boxed{1}" in environment.observe(printed("\\boxed{1}"))
    done = environment.step("so it is", Pause.EOS)
    assert done.stop is StopReason.EOS  # type: ignore[union-attr]
    assert done.answer is None  # type: ignore[union-attr]


@pytest.mark.parametrize("end", ["", "```", "```\n"])
def test_a_box_in_a_program_that_never_ran_is_no_answer(end: str) -> None:
    for before, answer in (("", None), ("I guess \\boxed{5}\n", "5")):
        environment = tool_environment(MiniatureContract(), 2)
        done = environment.step(f"{before}```python\nprint('\\\\boxed{{8}}')\n{end}", Pause.EOS)
        assert done.answer == answer  # type: ignore[union-attr]


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
