"""Tokens that cut fences, boxes and letters where no one expects it: what was sampled stays as it was sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from coevolve.engine.base import Completion, Pause, SampleRequest, Sampling
from coevolve.engine.stops import StopStrings
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.learning.rows import Lesson, minibatch_rows
from coevolve.rollout.base import Episode, Seat
from coevolve.rollout.codec import Codec
from coevolve.rollout.environments import ToolSpec, WritingSpec
from coevolve.rollout.loop import RolloutLoop
from coevolve.types import PROPOSER, SOLVER, Ints, Origin, StopReason, Task, Trajectory
from coevolve.worlds.base import PromptContext
from coevolve.worlds.open.learner import OpenWorld

from .scripted import TableTool, printed

END, MARK = "<|im_end|>", "zebra"  # MARK stands in sampled texts only
AWKWARD = (
    *("```python\n", ")\n```\n", "```output\n", ")\n```\n```output", "``", "`out", "put", " `", "```py", "thon\n"),
    *(")\n```\n\n", ")\n```.\n", "`\n"),
    *("\\boxed{4", "}.", "}.\n", "}\n\n", ".\n", "}\nUs", "er:", " \\box", "ed{", "4}", "?</ques", "tion>\n", MARK),
)
TASK = Task("t", ("What is 3 plus 1?",), "chain", Origin("agent0", PROPOSER, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level tokenizer with pieces that it never makes of a text itself, as after other merges."""
    path = tmp_path_factory.mktemp("awkward")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={p: i for i, p in enumerate([*alphabet, *map(in_bytes, AWKWARD)])}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", END])
    tokenizer.save(str(path / "tokenizer.json"))
    return path


def in_bytes(text: str) -> str:
    return "".join(p for p, _ in pre_tokenizers.ByteLevel(False, use_regex=False).pre_tokenize_str(text))


@dataclass
class ReplaySampler:
    """Writes given tokens, one at each step, and pauses where every sampler pauses."""

    folder: Path
    streams: dict[int, list[int]]
    policy_version: int = 0
    ready: dict[int, list[int]] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    pauses: int = 0

    def __post_init__(self) -> None:
        self._vocabulary = read_vocabulary(self.folder)
        self._stops = cache(lambda stop: StopStrings(self._vocabulary.texts, stop))

    def submit(self, request: SampleRequest) -> None:
        self.ready[request.id], self.left[request.id] = [], request.sampling.max_tokens
        self.stop = request.sampling.stop

    def extend(self, id: int, tokens: Ints) -> None:
        self.ready[id] = []
        self.left[id] -= len(tokens)

    def release(self, id: int) -> None:
        self.ready.pop(id, None)

    @property
    def active(self) -> int:
        return len(self.ready)

    def step(self) -> list[Completion]:
        stops, out = self._stops(self.stop), []
        for id, segment in list(self.ready.items()):
            segment.append(self.streams[id].pop(0))
            self.left[id] -= 1
            pause = (
                Pause.EOS
                if segment[-1] in self._vocabulary.ends
                else Pause.STOP
                if stops.candidates[segment[-1]] and stops.completed(segment)
                else Pause.LENGTH
                if self.left[id] == 0
                else None
            )
            if pause is not None:
                tokens = np.array(segment, np.int32)
                out.append(Completion(id, tokens, -0.5 - 0.001 * tokens.astype(np.float32), pause))
                self.pauses += pause is Pause.STOP
                del self.ready[id]
        return out


@dataclass
class Played:
    trajectory: Trajectory
    sampled: list[int]
    tool: TableTool
    pauses: int


def ids(folder: Path, pieces: Sequence[str]) -> list[int]:
    """One token per piece that is one; the bytes of any other."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = [[i] if (i := tokenizer.token_to_id(in_bytes(p))) is not None else Codec(folder).encode(p) for p in pieces]
    return [int(id) for part in found for id in part]


def play(
    folder: Path,
    written: Sequence[str] | Sequence[int],
    *,
    agent: str = SOLVER,
    max_tokens: int = 200,
    at_fence: bool = False,
) -> Played:
    """The loop over one stream of tokens, with the open world's contract for a model without a template."""
    contract, codec, tool = OpenWorld(str(folder), "agent0").contract, Codec(folder), TableTool()
    tool.table["print('π')"] = printed("π ≈ 3\n")
    stream = [token for part in written for token in ([part] if isinstance(part, int) else ids(folder, [part]))]
    sampler = ReplaySampler(folder, {0: list(stream)})
    place = ToolSpec(agent, 3, at_fence) if agent == SOLVER else WritingSpec(agent)
    loop = RolloutLoop(sampler, tool, codec, contract, wait_steps=1, eos=read_vocabulary(folder).ends)
    seat = Seat(agent, contract.prompt(SOLVER, PromptContext(TASK.turns[0])))
    episode = Episode("t", 0, (seat,), place, Sampling(max_tokens=max_tokens), seed=0)
    ((trajectory,),), _ = loop.run([episode], policy="p", contract="c")
    return Played(trajectory, stream[: len(stream) - len(sampler.streams[0])], tool, sampler.pauses)


CALLS = {
    "merged with their lines": ["```python\n", "print(1", ")\n```\n", "```output\n"],
    "merged with each other": ["```python\n", "print(1", ")\n```\n```output"],
    "cut inside": [" ", "``", "`", "py", "thon\n", "print(1", ")\n", "``", "`\n", "``", "`out", "put"],
    "cut elsewhere": ["so", " `", "``", "python\n", "print(1)\n", "`", "`", "`", "\n", "``", "`out", "put"],
}
ENDS = {
    "end token": [MARK, " \\box", "ed{", "4}", END],
    "brace with its stop": ["\\boxed{4", "}.", "\n"],
    "brace, stop and line in one": ["\\boxed{4", "}.\n"],
    "brace and two lines in one": ["\\boxed{4", "}\n\n"],
    "brace and the next turn": ["\\boxed{4", "}\nUs"],
    "stop over three": [" \\box", "ed{", "4}", ".\n"],
    "another turn": ["\\boxed{4", "}", " it", " is", "\n", "Us", "er:"],
}


@pytest.mark.parametrize("ending", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_calls_and_answers_are_read_and_every_token_stays(folder: Path, call: list[str], ending: list[str]) -> None:
    played, codec = play(folder, [*call, "so ", *ending]), Codec(folder)
    done = played.trajectory
    assert played.tool.asked == ["print(1)"]
    assert (done.stop, done.answer) == (StopReason.EOS, "4")
    assert done.tokens[done.mask].tolist() == played.sampled == ids(folder, [*call, "so ", *ending])
    lead = "" if "".join(call).endswith("\n") else "\n"
    assert done.tokens[~done.mask].tolist() == codec.encode_printed(f"{lead}7\n```\n").tolist()
    text = done.tokens[:-1] if ending[-1] == END else done.tokens
    assert done.text == codec.decode(text)
    expected = -0.5 - 0.001 * done.tokens.astype(np.float32)
    np.testing.assert_array_equal(done.logprobs, np.where(done.mask, expected, 0).astype(np.float32))


# What is sampled where programs run as soon as they are closed, and what is appended to it.
AT_FENCES = {
    "merged with its lines": (["```python\n", "print(1", ")\n```\n"], "```output\n7\n```\n"),
    "an empty line in the same token": (["```python\n", "print(1", ")\n```\n\n"], "```output\n7\n```\n"),
    "cut inside": (["``", "`", "py", "thon\n", "print(1", ")\n", "``", "`"], "\n```output\n7\n```\n"),
    "line in the fence's token": (["```py", "thon\n", "print(1", ")\n", "``", "`\n"], "```output\n7\n```\n"),
    "output fence in the same token": (["```python\n", "print(1", ")\n```\n```output"], "\n7\n```\n"),
}


@pytest.mark.parametrize(("call", "appended"), AT_FENCES.values(), ids=AT_FENCES)
def test_a_program_that_runs_at_its_fence_is_followed_by_fence_and_output(
    folder: Path, call: list[str], appended: str
) -> None:
    written = [*call, "so ", "\\boxed{4", "}.\n"]
    played, codec = play(folder, written, at_fence=True), Codec(folder)
    done = played.trajectory
    assert played.tool.asked == ["print(1)"]
    assert (done.stop, done.answer, done.unrun) == (StopReason.EOS, "4", 0)
    assert done.tokens[done.mask].tolist() == played.sampled == ids(folder, written)
    assert done.tokens[~done.mask].tolist() == codec.encode_printed(appended).tolist()
    assert done.text == f"{''.join(call)}{appended}so \\boxed{{4}}.\n"


def test_an_output_that_a_policy_adds_by_habit_is_forged_and_runs_nothing_again(folder: Path) -> None:
    call = ["```python\n", "print(1", ")\n```\n"]
    done = play(folder, [*call, "```output\n", "9", "\n```\n"], at_fence=True)
    assert (done.trajectory.stop, done.tool.asked) == (StopReason.PROTOCOL, ["print(1)"])


def test_a_fence_with_other_text_on_its_line_closes_nothing(folder: Path) -> None:
    call = ["```python\n", "print(1", ")\n```.\n", "\\boxed{4", "}.\n"]
    done = play(folder, call, at_fence=True)
    assert (done.tool.asked, done.trajectory.stop) == ([], StopReason.EOS)


def test_programs_that_never_ran_are_counted(folder: Path) -> None:
    program = ["```python\n", "print(1", ")\n```\n"]
    ending = ["\\boxed{4", "}", END]
    never = play(folder, [*program, "so", *program, *ending]).trajectory
    once = play(folder, [*program, "so", *program, "```output\n", *ending]).trajectory
    assert (never.unrun, once.unrun, len(once.tool_calls)) == (2, 1, 1)
    assert play(folder, [*program, *ending], agent=PROPOSER).trajectory.unrun == 0, "who has no tool is asked for none"


def test_nothing_that_was_sampled_is_ever_encoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, seen = Codec._encode, []

    def guarded(self: Codec, text: str) -> Ints:
        assert MARK not in text, "a sampled text was encoded"
        seen.append(text)
        return encode(self, text)

    call = [MARK, "```python\n", "print(1", ")\n```\n", "```output\n"]
    stream = ids(folder, [*call, MARK, " x = {", "}\n", MARK, "\\boxed{4", "}.\n"])
    monkeypatch.setattr(Codec, "_encode", guarded)
    done = play(folder, stream).trajectory
    (row,) = minibatch_rows([Lesson(done, 1.0, 0.2, 0.2)], "token", 200)
    assert seen == [OpenWorld(str(folder), "agent0").contract.prompt(SOLVER, PromptContext(TASK.turns[0])), "7\n```\n"]
    assert row.tokens.tolist() == [*done.prompt.tolist(), *done.tokens.tolist()]
    assert row.tokens[row.weight > 0].tolist() == stream
    assert done.answer == "4"


def test_to_encode_the_text_again_would_give_other_tokens(folder: Path) -> None:
    done = play(folder, [*CALLS["merged with their lines"], *ENDS["brace with its stop"]]).trajectory
    assert Codec(folder).encode(done.text).tolist() != done.tokens.tolist()


def test_letters_of_several_tokens_are_whole_in_texts_and_in_what_the_tool_is_given(folder: Path) -> None:
    assert len(Codec(folder).encode("π")) == 2
    played = play(
        folder, ["π", "\n", "```python\n", "print('", "π", "'", ")\n```\n", "```output\n", "\\boxed{4", "}.\n"]
    )
    assert played.tool.asked == ["print('π')"]
    assert "π ≈ 3\n```\n" in played.trajectory.text
    assert played.trajectory.text == Codec(folder).decode(played.trajectory.tokens)


def test_braces_at_line_ends_pause_and_change_nothing(folder: Path) -> None:
    dictionary = ["```python\n", "x = {1", "}\n", "print(1", ")\n```\n", "```output\n"]
    played = play(folder, [*dictionary, "a = {b", "}\n\n", "c", "}.\n", "\\boxed{4", "}", END])
    assert played.tool.asked == ["x = {1}\nprint(1)"]
    assert (played.trajectory.stop, played.trajectory.answer) == (StopReason.EOS, "4")
    assert played.pauses == 4  # three that mean nothing, and the call
    assert played.trajectory.tokens[played.trajectory.mask].tolist() == played.sampled


def test_a_pause_at_the_last_token_of_the_budget_is_the_end_of_it(folder: Path) -> None:
    played = play(folder, ["a = {b", "}\n", "and", END], max_tokens=len("a = {b}\n"))
    assert (played.trajectory.stop, played.trajectory.answer) == (StopReason.LENGTH, None)
    assert played.trajectory.tokens.tolist() == ids(folder, ["a = {b", "}\n"])


def test_a_proposers_scratch_pad_may_hold_boxes_before_its_question(folder: Path) -> None:
    pieces = ["pad ", "\\boxed{4", "}.\n", "<question>What is 3 plus 1", "?</ques", "tion>\n", "\\boxed{4", "}\n\n"]
    done = play(folder, pieces, agent=PROPOSER).trajectory
    assert (done.stop, done.answer) == (StopReason.EOS, "4")
    assert done.text == "".join(pieces)


@pytest.mark.parametrize("text", ["x" * 5_000, "π" * 3_000, "```output\n" * 400, "zebra" * 900, "\n" * 2_000])
@pytest.mark.parametrize("limit", [32, 100, 512])
def test_a_long_tool_result_keeps_both_ends_within_the_limit(folder: Path, text: str, limit: int) -> None:
    codec = Codec(folder)
    short = codec.within(text, limit)
    assert len(codec.encode_printed(short)) <= limit
    assert "tokens left out]" in short
    assert "\ufffd" not in short
    head, _, rest = short.partition("\n[")
    assert text.startswith(head)
    assert text.endswith(rest.partition("]\n")[2])
    assert limit == 32 or len(head) > 5


def test_a_tool_result_that_fits_is_left_as_it_is(folder: Path) -> None:
    codec = Codec(folder)
    assert codec.within("7\n8", 32) == "7\n8"
    assert codec.within("x" * 32, 32) == "x" * 32
