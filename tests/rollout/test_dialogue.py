"""Tasks of several user turns: what the policy is shown, what it is trained on, and which answer counts."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from coevolve.engine.base import Pause
from coevolve.sandbox.base import Status, ToolResult
from coevolve.types import StopReason
from coevolve.worlds.miniature.corpus import Document, Mixture, documents
from coevolve.worlds.miniature.learner import ASSETS
from coevolve.worlds.miniature.training import encode_all

from .scripted import ANSWER, CALL, EOS, Segment, TableTool, codec, ids_of, play, printed

NEXT = "Let b = the digit sum of a. Find b."
SHOWN = f"<question>{NEXT}</question>\n"
SIX = ["\\boxed{", "6", "}"]
FAILED = ToolResult(Status.ERROR, "", "NameError", False, 1, None, 1.0, 1.0)


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


def test_a_dialogue_of_the_textbook_has_the_tokens_of_a_rollout() -> None:
    """The base model has read dialogues exactly as the loop shows them: user turns, tool outputs, ends of answers."""
    followed = 0
    for document in islice(documents(Mixture(dialogues=1.0), 3), 60):
        ((ids, learnt),) = encode_all(PreTrainedTokenizerFast.from_pretrained(ASSETS), [document])
        prompt = codec().encode(document.pieces[0][0])
        script, table, follow_ups = script_of(document)
        (t,) = play([*script], follow_ups=follow_ups, tool=TableTool(table), max_tokens=600, max_turns=9).trajectories
        assert t.stop is StopReason.EOS
        np.testing.assert_array_equal(t.tokens, ids[len(prompt) :])
        np.testing.assert_array_equal(t.mask, learnt[len(prompt) :])
        followed += len(follow_ups)
    assert followed > 60


def script_of(document: Document) -> tuple[list[Segment], dict[str, ToolResult], list[str]]:
    """What a policy and a tool would have to give, and a user to ask, for the document to come about."""
    script: list[Segment] = []
    table: dict[str, ToolResult] = {}
    follow_ups: list[str] = []
    said = ""
    for text, learn in document.pieces[1:]:
        if learn:
            said += text
        elif text.startswith("<question>"):
            follow_ups.append(text.removeprefix("<question>").removesuffix("</question>\n"))
            script.append(([said.removesuffix("<|endoftext|>")], Pause.EOS))
            said = ""
        else:
            code = said.rpartition("```python\n")[2].partition("\n```\n")[0]
            shown = text.removesuffix("\n```\n")
            table[code] = FAILED if shown == "error" else printed(f"{shown}\n")
            script.append(([said], Pause.STOP))
            said = ""
    return [*script, ([said], Pause.EOS)], table, follow_ups
