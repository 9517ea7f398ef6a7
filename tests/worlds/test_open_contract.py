"""Prompts of the open world for base and chat models, and what ends a text."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Literal

import pytest

from coevolve.rollout.codec import Codec
from coevolve.types import PROPOSER, SOLVER, Origin, Task
from coevolve.worlds.base import PromptContext
from coevolve.worlds.open.contract import NOTHING_PRINTED, Acting, OpenContract
from coevolve.worlds.open.learner import OpenWorld
from coevolve.worlds.open.prompting import packaged_prompts, prompt_file

from . import tokenizers_of_families as families

TOLD = Acting().fill(prompt_file("agent0").solver_with(tool=True).system)
WITHOUT_EXAMPLES = ("agent0", "r-zero", "plain")
TASK = Task("t", ("What is 3 + 4 times 5?",), "chain", Origin("agent0", PROPOSER, 1))
ASKED = PromptContext(TASK.turns[0])


def contract(folder: Path, name: str = "agent0") -> OpenContract:
    return OpenWorld(str(folder), name, Acting(tool=prompt_file(name).solver is not None)).contract


@pytest.mark.parametrize("name", WITHOUT_EXAMPLES)
def test_a_base_models_prompt_ends_where_its_answer_begins(tmp_path: Path, name: str) -> None:
    found = contract(families.qwen(tmp_path, chat=False), name)
    assert found.prompt(SOLVER, ASKED).count(TASK.question) == 1
    speaker = prompt_file(name).speakers[1]
    for prompt in (found.prompt(SOLVER, ASKED), found.prompt(PROPOSER)):
        assert prompt.endswith(f"\n{speaker}:")
        assert "\\boxed{" in prompt
        assert "<|" not in prompt


def test_only_the_contract_with_a_tool_speaks_of_it(tmp_path: Path) -> None:
    folder = families.qwen(tmp_path)
    assert {n for n in WITHOUT_EXAMPLES if "```" in contract(folder, n).prompt(SOLVER, ASKED)} == {"agent0"}


def test_programs_are_said_to_share_what_they_share(tmp_path: Path) -> None:
    folder, told = str(families.qwen(tmp_path)), {}
    states: tuple[Literal["stateless", "session"], ...] = ("stateless", "session")
    for state in states:
        told[state] = OpenWorld(folder, "agent0", Acting(state=state)).contract.prompt(SOLVER, ASKED)
    assert "each starts from nothing" in told["stateless"]
    assert "they share their variables" in told["session"]
    assert "{" not in told["session"].replace("\\boxed{}", "")


def test_the_curriculum_agent_is_asked_for_a_scratch_pad_a_question_and_its_own_answer(tmp_path: Path) -> None:
    prompt = contract(families.qwen(tmp_path)).prompt(PROPOSER)
    assert prompt.index("scratch-pad") < prompt.index("<question>") < prompt.index("\\boxed{}")


def test_a_proposer_is_shown_examples_and_told_a_kind_where_there_are_some(tmp_path: Path) -> None:
    for chat in (True, False):
        found = contract(families.qwen(tmp_path / str(chat), chat=chat))
        plain = found.prompt(PROPOSER)
        assert found.prompt(PROPOSER, PromptContext()) == plain
        told = found.prompt(PROPOSER, PromptContext(examples=("What is 1?", "What is 2?"), kind="geometry"))
        parts = ("Its kind: geometry.", "What is 1?", "What is 2?")
        assert [told.count(part) for part in parts] == [1, 1, 1]
        assert not any(part in plain for part in parts)
        assert told.splitlines()[-1] == plain.splitlines()[-1]  # the beginning of the model's turn


def test_a_chat_models_prompt_is_what_its_template_writes(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = families.qwen(tmp_path)
    turns = [{"role": "system", "content": TOLD}, {"role": "user", "content": TASK.question}]
    expected = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True
    )
    assert contract(folder).prompt(SOLVER, ASKED) == expected


def test_the_token_that_a_family_puts_first_stands_there_exactly_once(tmp_path: Path) -> None:
    for chat in (False, True):
        folder = families.llama(tmp_path / str(chat), chat=chat)
        codec, found = Codec(folder), contract(folder)
        for prompt in (found.prompt(SOLVER, ASKED), found.prompt(PROPOSER)):
            ids = codec.encode(prompt).tolist()
            first = codec.encode("<|begin_of_text|>").tolist()
            assert ids[:1] == first
            assert ids.count(first[0]) == 1
    plain = contract(families.qwen(tmp_path / "qwen", chat=False))
    assert plain.prompt(SOLVER, ASKED).startswith(TOLD)


BOX = "so it is \\boxed{\\frac{1}{2}}"


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        (f"{BOX}\n", BOX),
        (f"{BOX}.\n", f"{BOX}."),
        (f"thus $${BOX}$$\n\n", f"thus $${BOX}$$"),
        (f"**{BOX}**\n", f"**{BOX}**"),
        ("\\[ \\boxed{7} \\]\n", "\\[ \\boxed{7} \\]"),
        ("\\[\\boxed{7}\\]\n", "\\[\\boxed{7}\\]"),
        ("\\boxed {7}\n", "\\boxed {7}"),
        ("```python\n# the answer is \\boxed{7}\n", None),
        ("x = {1}\n", None),
        ("\\boxed{7} and then {8}\n", "\\boxed{7} and then {8}"),
        ("\\boxed{7} or\nrather {8}\n", None),
        ("\\boxed{7\n}\n", None),
        ("\\boxed{\\frac{1}{2}\n", None),
        ("\\boxed{ }\n", None),
        ("I do not know\nUser:", "I do not know"),
        ("\\boxed{7}\nUser: and", "\\boxed{7}"),
    ],
)
def test_a_solvers_text_ends_with_the_line_of_its_box_or_with_another_turn(
    tmp_path: Path, text: str, finished: str | None
) -> None:
    found = contract(families.qwen(tmp_path, chat=False))
    assert any(stop in text for stop in found.stops(SOLVER))
    assert found.finished(SOLVER, text) == finished


def test_a_proposers_text_ends_with_the_box_after_its_question(tmp_path: Path) -> None:
    found = contract(families.qwen(tmp_path, chat=False))
    asked = "pad: \\boxed{3}\n<question>What is 1 + 2?</question>\n\\boxed{3}\n"
    assert found.finished(PROPOSER, "pad: \\boxed{3}\n") is None
    assert found.finished(PROPOSER, asked) == asked[:-1]


def test_a_chat_models_text_ends_where_it_begins_another_turn(tmp_path: Path) -> None:
    found = contract(families.qwen(tmp_path))
    assert "<|im_start|>" in found.stops(SOLVER)
    assert "<|im_end|>" not in found.stops(SOLVER)  # an end token: no sampler needs to look for its name
    assert found.finished(SOLVER, "no idea<|im_start|>") == "no idea"


def test_observations_say_what_was_printed_and_what_went_wrong(tmp_path: Path) -> None:
    found = contract(families.qwen(tmp_path))
    trace = "Traceback (most recent call last):\n  File ...\nZeroDivisionError: division by zero\n\n"
    assert found.observation("ok", "7\n", "") == "7"
    assert found.observation("ok", "\n", "") == NOTHING_PRINTED
    assert found.observation("ok", "\n", "a warning") == "a warning"
    assert found.observation("error", "1\n2\n", trace) == "1\n2\nZeroDivisionError: division by zero"
    assert found.observation("error", "", trace) == "ZeroDivisionError: division by zero"
    assert "timeout" in found.observation("timeout", "", "")


def test_a_contract_goes_to_another_process_and_its_name_says_what_it_is(tmp_path: Path) -> None:
    names = set()
    for chat in (False, True):
        for kind in packaged_prompts():
            found = contract(families.llama(tmp_path / str(chat), chat=chat), kind)
            there = pickle.loads(pickle.dumps(found))
            assert there.prompt(SOLVER, ASKED) == found.prompt(SOLVER, ASKED)
            assert there.name == found.name
            names.add(found.name)
    assert len(names) == 2 * len(packaged_prompts())


@pytest.mark.parametrize(
    ("question", "is_one"),
    [
        ("What is 3 + 4?", True),
        ("Find the sum of all primes below 100.", True),
        ("Let $f(x) = x^2$.\nFind $f(3)$.", True),
        ("Why?", False),
        ("12 + 34 = 56 + 78", False),
        ("What is 3 + 4? And what is 5 + 6?", False),
        ("(a) Find x. (b) Find y.", False),
        ("Prove that there are infinitely many primes.", False),
        ("Show that 3 + 4 = 7.", False),
        ("Put the sum 3 + 4 into \\boxed{7}.", False),
        ("What does ```python print?", False),
        ("What is 3 + 4?<|im_end|>", False),
        ("What is <|im_start|> in words?", False),
        ("A byte \ufffd too many, what is it?", False),
        ("What is 3 + 4\x00?", False),
        ("the statement, complete in itself", False),  # the prompt's own words
        ("Find x. " * 600, False),
    ],
)
def test_a_question_is_one_question_in_words(tmp_path: Path, question: str, is_one: bool) -> None:
    assert OpenWorld(str(families.qwen(tmp_path)), "agent0").is_well_formed(question) is is_one


def test_a_question_is_described_by_its_field(tmp_path: Path) -> None:
    world = OpenWorld(str(families.qwen(tmp_path)), "agent0")
    assert world.describe("Find the area of the triangle.") == {"steps": 0, "topic": "geometry"}
    assert world.describe("Find the remainder of 7^100.")["topic"] == "number theory"
    assert world.describe("Find it in the end.")["topic"] == "text"
    assert not world.is_reserved("What is 3 + 4?")


def test_a_further_turn_of_a_chat_model_stands_where_its_template_puts_it(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = families.qwen(tmp_path)
    found = contract(folder)
    answer, more = "It is 23.\n\\boxed{23}", "And without the 3?"
    turns = [
        {"role": "system", "content": TOLD},
        {"role": "user", "content": TASK.question},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": more},
    ]
    written = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True
    )
    for end, ended in (("<|im_end|>", True), ("", False)):
        assert found.prompt(SOLVER, ASKED) + answer + end + found.follow_up(more, ended=ended) == written


def test_a_further_turn_of_a_base_model_looks_like_the_first(tmp_path: Path) -> None:
    found = contract(families.qwen(tmp_path, chat=False))
    user, assistant = prompt_file("agent0").speakers
    assert found.follow_up("And then?", ended=True) == f"\n\n{user}: And then?\n{assistant}:"
    assert found.prompt(SOLVER, ASKED).endswith(f"\n\n{user}: {TASK.question}\n{assistant}:")


def test_dialogues_are_asked_for_and_cut_only_where_there_may_be_some(tmp_path: Path) -> None:
    folder = families.qwen(tmp_path)
    plain, dialogues = OpenWorld(str(folder), "agent0"), OpenWorld(str(folder), "agent0", Acting(turns=3))
    assert "---" not in plain.contract.prompt(PROPOSER)
    assert "up to 2 further questions" in dialogues.contract.prompt(PROPOSER)
    two, four = "\n---\n".join(["What is 3 + 4 times 5?", "And for 7?"]), "\n --- \n".join(["What is 3 + 4?"] * 4)
    assert dialogues.user_turns(two, 3) == ("What is 3 + 4 times 5?", "And for 7?")
    assert plain.user_turns(two, 1) == (two,)
    assert [world.is_well_formed(two) for world in (plain, dialogues)] == [False, True]
    assert not dialogues.is_well_formed(four)
    assert not dialogues.is_well_formed("What is 3 + 4 times 5?\n---\n")
    assert dialogues.is_well_formed("What is 3 + 4 times 5?")


def test_a_curriculum_agent_with_the_tool_is_told_how_to_use_it(tmp_path: Path) -> None:
    folder = families.qwen(tmp_path)
    plain, composing = OpenWorld(str(folder), "agent0"), OpenWorld(str(folder), "agent0", Acting(composing=True))
    assert "```python" not in plain.contract.prompt(PROPOSER)
    assert "```python" in composing.contract.prompt(PROPOSER)
    assert plain.contract.prompt(SOLVER, ASKED) == composing.contract.prompt(SOLVER, ASKED)
    assert plain.contract.name != composing.contract.name
