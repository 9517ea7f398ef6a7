"""Tasks of several user turns: what the policy is shown, what it is trained on, and which answer counts."""

from __future__ import annotations

import numpy as np
import pytest

from coevolve.engine.base import Pause
from coevolve.types import StopReason

from .scripted import ANSWER, CALL, EOS, Segment, codec, ids_of, play

NEXT = "Let b = the digit sum of a. Find b."
SHOWN = f"<question>{NEXT}</question>\n"
SIX = ["\\boxed{", "6", "}"]


def test_the_next_turn_follows_the_answer_and_is_not_trained_on() -> None:
    played = play([(CALL, Pause.STOP), (ANSWER, Pause.EOS), (CALL, Pause.STOP), (SIX, Pause.EOS)], follow_ups=[NEXT])
    (t,) = played.trajectories
    assert (t.answer, t.stop, len(t.tool_calls)) == ("6", StopReason.EOS, 2)
    first, second, third, fourth = played.sampler.given[0]
    seen = [played.sampler.extended[0][0], codec().encode(SHOWN), played.sampler.extended[0][1]]
    parts = [(first.tokens, 1), (seen[0], 0), (second.tokens, 1), (seen[1], 0), (third.tokens, 1), (seen[2], 0)]
    parts += [(fourth.tokens, 1)]
    np.testing.assert_array_equal(t.tokens, np.concatenate([tokens for tokens, _ in parts]))
    assert t.mask.tolist() == [bool(own) for tokens, own in parts for _ in tokens]
    assert not t.logprobs[~t.mask].any()
    given = np.concatenate([x.logprobs for x in played.sampler.given[0]])
    np.testing.assert_array_equal(t.logprobs[t.mask], given)


def test_the_second_answer_is_sampled_after_everything_before_it() -> None:
    played = play([(ANSWER, Pause.EOS), (SIX, Pause.EOS)], follow_ups=[NEXT], max_tokens=100)
    first, second = played.sampler.all_requests
    so_far = [first.prompt, played.sampler.given[0][0].tokens, codec().encode(SHOWN)]
    np.testing.assert_array_equal(second.prompt, np.concatenate(so_far))
    assert second.prompt.tolist().count(EOS) == 1  # the end of the first answer stays where the policy put it
    assert first.sampling.max_tokens - second.sampling.max_tokens == len(second.prompt) - len(first.prompt)
    assert second.seed != first.seed


@pytest.mark.parametrize(
    ("script", "all_turns", "answer"),
    [
        ([(ANSWER, Pause.EOS), (SIX, Pause.EOS)], False, "6"),
        ([(ANSWER, Pause.EOS), (SIX, Pause.EOS)], True, "(3, 6)"),
        ([(["a"], Pause.EOS), (SIX, Pause.EOS)], False, "6"),
        ([(["a"], Pause.EOS), (SIX, Pause.EOS)], True, None),
        ([(ANSWER, Pause.EOS), (["a"], Pause.EOS)], False, None),  # an earlier box is no answer to the last turn
    ],
)
def test_the_answer_is_that_to_the_last_turn_or_to_all(
    script: list[Segment], all_turns: bool, answer: str | None
) -> None:
    (t,) = play(script, follow_ups=[NEXT], all_turns=all_turns).trajectories
    assert (t.answer, t.stop) == (answer, StopReason.EOS)


def test_the_limit_of_tool_calls_holds_for_each_turn() -> None:
    turn: list[Segment] = [(CALL, Pause.STOP), (CALL, Pause.STOP), (ANSWER, Pause.EOS)]
    (t,) = play([*turn, *turn], follow_ups=[NEXT], max_turns=2, max_tokens=400).trajectories
    assert (t.stop, len(t.tool_calls)) == (StopReason.EOS, 4)
    (t,) = play([*turn, *turn], follow_ups=[NEXT], max_turns=1, max_tokens=400).trajectories
    assert (t.stop, t.answer, len(t.tool_calls)) == (StopReason.TURNS, None, 1)


def test_a_dialogue_that_goes_wrong_early_has_no_answer_and_asks_nothing_more() -> None:
    forged = ["a:\n", "```output\n"]
    played = play([(forged, Pause.STOP)], [(ANSWER, Pause.LENGTH)], follow_ups=[NEXT])
    assert [t.stop for t in played.trajectories] == [StopReason.PROTOCOL, StopReason.LENGTH]
    assert [t.answer for t in played.trajectories] == [None, None]
    assert len(played.sampler.all_requests) == 2


def test_a_turn_that_does_not_fit_ends_the_trajectory() -> None:
    long = len(ids_of(ANSWER)) + 1 + len(codec().encode(SHOWN))
    for room, stop in ((long, StopReason.LENGTH), (long + 1, StopReason.EOS)):
        (t,) = play([(ANSWER, Pause.EOS), (SIX, Pause.EOS)], follow_ups=[NEXT], max_tokens=room).trajectories
        assert t.stop is stop


def test_a_session_of_the_tool_lasts_over_all_turns() -> None:
    script: list[Segment] = [(CALL, Pause.STOP), (ANSWER, Pause.EOS), (CALL, Pause.STOP), (SIX, Pause.EOS)]
    played = play(script, follow_ups=[NEXT], sessions=True)
    assert len(set(played.tool.sessions)) == 1
    assert len(played.tool.ended) == 1
