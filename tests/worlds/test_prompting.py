"""Prompt files: what may stand in them, and that the worked examples of those of the package are true to the loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coevolve.engine.base import Pause
from coevolve.errors import ConfigError
from coevolve.grading.extract import last_boxed
from coevolve.rollout.codec import Codec
from coevolve.rollout.environments import Done, EpisodeTools, RunCode, ToolSpec
from coevolve.rollout.protocol import written_question
from coevolve.sandbox.base import Limits
from coevolve.sandbox.pool import SandboxPool
from coevolve.types import PROPOSER, SOLVER
from coevolve.worlds.base import PromptContext
from coevolve.worlds.open.contract import Acting, OpenContract
from coevolve.worlds.open.learner import OpenWorld
from coevolve.worlds.open.prompting import Example, packaged_prompts, parsed_prompts, prompt_file, worked_questions

from . import tokenizers_of_families as families

MINE = """
solver_without_tool: {task: "{question}", system: Be brief.}
proposer:
  task: "A problem about {topic}."
  opening: "<question>"
  topics: [ships, bees]
  examples:
    - user: A problem about cats.
      assistant: "<question>How many legs do 3 cats have?</question>\\n\\\\boxed{12}"
refusal: cannot be answered
"""
# What the proposers of the package are shown, worked out here once more.
ANSWERS = {
    "Subtract 458 from 903. What is left?": 903 - 458,
    "Subtract 48 from the sum of 175 and 139. What do you get?": 175 + 139 - 48,
    "What is the sum of 17, 38 and 64?": 17 + 38 + 64,
    "What is the value of (17 + 8) * 6 - 35?": (17 + 8) * 6 - 35,
    "What is the product of 36 and 24?": 36 * 24,
    "What is the remainder when 517 is divided by 23?": 517 % 23,
    "Add 148 to 275, then double the result. What number do you get?": 2 * (148 + 275),
    "What is the largest number that divides both 48 and 84?": 12,
    "How much larger is 903 than 458?": 903 - 458,
    "Find the average of 4, 11 and 18.": (4 + 11 + 18) // 3,
    "What is 15 percent of 640?": 15 * 640 // 100,
    "Divide 744 by 12. What is the quotient?": 744 // 12,
    "What do you get when you add 17, 38 and 64?": 17 + 38 + 64,
    "A notebook costs 3 dollars and a pen costs 2 dollars. Mia buys 4 notebooks and 5 pens. How many dollars does she "
    "pay?": 4 * 3 + 5 * 2,
    "A train travels 85 kilometers every hour. How many kilometers does it travel in 6 hours?": 85 * 6,
    "Omar has 75 stickers. He keeps 15 and shares the rest equally among 4 friends. How many stickers does each friend "
    "get?": (75 - 15) // 4,
    "A garden has 12 rows with 9 tomato plants each. Frost kills 17 plants. How many plants are left?": 12 * 9 - 17,
    "A film lasts 95 minutes and the break lasts 15 minutes. How many minutes do they last together?": 95 + 15,
    "Ben mows 6 lawns for 20 dollars each and spends 25 dollars on gas. How many dollars are left?": 6 * 20 - 25,
    "A baker gets 90 dollars a shift, and 35 more on Sundays. How many dollars are 4 Sundays?": 4 * (90 + 35),
    "A farmer puts 216 eggs into boxes of 12. How many boxes does he fill?": 216 // 12,
}
WITH_EXAMPLES = ("arithmetic", "grade-school", "school")


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(limits=Limits(cpu_s=4.0, wall_s=10.0, memory_mb=128, output_bytes=16384)) as pool:
        yield pool


def contract(folder: Path, name: str, *, tool: bool = True) -> OpenContract:
    return OpenWorld(str(folder), name, Acting(tool=tool)).contract


def own_file(folder: Path, text: str = MINE) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(text)
    return str(folder / "mine.yaml")


def test_the_package_has_the_prompts_of_two_papers_plain_ones_and_two_with_examples() -> None:
    assert packaged_prompts() == ["agent0", "arithmetic", "grade-school", "plain", "r-zero", "school"]
    assert [name for name in packaged_prompts() if prompt_file(name).proposer.examples] == list(WITH_EXAMPLES)


@pytest.mark.parametrize("at_fence", [True, False], ids=["fence", "output"])
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_worked_answers_are_what_the_loop_makes_of_their_programs(
    pool: SandboxPool, tmp_path: Path, name: str, at_fence: bool
) -> None:
    tools = EpisodeTools(contract(families.qwen(tmp_path), name), str, "{}\n{}".format, str)
    for example in prompt_file(name).solver_with(tool=True).examples:
        environment, text, printed = ToolSpec(SOLVER, 2, at_fence).open(tools)[0], "", ""
        while "```python" in example.assistant[len(text) :]:
            fence = "\n```" if at_fence else "```output"
            segment = example.assistant[len(text) :].partition(fence)[0] + fence
            action = environment.step(segment, Pause.STOP)
            assert isinstance(action, RunCode), segment
            text += segment + environment.observe(pool.run(action.code))
            printed = environment.calls[-1].observation
            assert example.assistant.startswith(text)
        done = environment.step(example.assistant[len(text) :], Pause.EOS)
        assert isinstance(done, Done)
        assert done.answer == printed, "the answer is what the last program printed"
        assert printed


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_worked_answers_without_a_tool_are_those_with_it(name: str) -> None:
    file = prompt_file(name)
    told = {example.user: last_boxed(example.assistant) for example in file.solver_with(tool=True).examples}
    alone = {example.user: last_boxed(example.assistant) for example in file.solver_with(tool=False).examples}
    assert alone
    assert alone.items() <= told.items()


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_worked_problems_of_proposers_are_well_formed_and_their_answers_true(tmp_path: Path, name: str) -> None:
    file, world = prompt_file(name).proposer, OpenWorld(str(families.qwen(tmp_path)), "agent0")
    for example in file.examples:
        question = written_question(example.assistant)
        assert question is not None
        assert world.is_well_formed(question)
        assert last_boxed(example.assistant) == str(ANSWERS[question])
        said = example.user.removeprefix(file.task.partition("{")[0]).removesuffix(".").split(", ", 1)
        assert said[0] in file.topics
        assert said[1:] == [] if not file.levels else said[1] in file.levels
    assert len({example.user for example in file.examples}) == len(file.examples)


def test_a_proposer_that_writes_an_example_down_once_more_has_written_nothing(tmp_path: Path) -> None:
    world = OpenWorld(str(families.qwen(tmp_path)), "arithmetic")
    assert not world.is_well_formed("What is the product of 36 and 24?")
    assert world.is_well_formed("What is the product of 37 and 24?")


def test_examples_are_turns_of_the_models_own_template(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder, solver = families.qwen(tmp_path), prompt_file("arithmetic").solver_with(tool=True)
    turns = [{"role": "system", "content": solver.system}]
    for example in solver.examples:
        turns += [{"role": "user", "content": example.user}, {"role": "assistant", "content": example.assistant}]
    turns.append({"role": "user", "content": "What is 1 plus 1?"})
    written = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True
    )
    assert contract(folder, "arithmetic").prompt(SOLVER, PromptContext("What is 1 plus 1?")) == written


@pytest.mark.parametrize("chat", [True, False])
def test_examples_are_plain_text_where_there_is_no_template_or_the_file_says_so(tmp_path: Path, chat: bool) -> None:
    text = MINE + ("form: text\n" if chat else "") + "speakers: [Q, A]\n"
    found = contract(families.qwen(tmp_path / "model", chat=chat), own_file(tmp_path / "mine", text), tool=False)
    assert found.prompt(PROPOSER, PromptContext(topic="bees")) == (
        "Q: A problem about cats.\nA: <question>How many legs do 3 cats have?</question>\n\\boxed{12}\n\n"
        "Q: A problem about bees.\nA: <question>"
    )
    assert (found.proposer_opening, found.opening(SOLVER)) == (" <question>", "")
    assert found.stops(PROPOSER)[0] == "\nQ:"
    assert found.prompt(SOLVER, PromptContext("Why is it 3?")) == "Be brief.\n\nQ: Why is it 3?\nA:"


def test_a_proposers_prompt_names_topic_and_level_and_ends_with_its_opening(tmp_path: Path) -> None:
    found = contract(families.qwen(tmp_path), "arithmetic")
    asked = found.prompt(PROPOSER, PromptContext(topic="a remainder", level="small numbers"))
    assert asked.endswith("a remainder, small numbers.<|im_end|>\n<|im_start|>assistant\n<question>")
    assert found.proposer_opening == found.opening(PROPOSER) == "<question>"
    first = PromptContext(topic=found.topics[0], level=found.levels[0])
    assert found.prompt(PROPOSER) == found.prompt(PROPOSER, first), "who names none is told the first"
    assert asked.partition("<|im_start|>user\nWrite one new problem: a remainder, small")[0] in found.prompt(PROPOSER)


def test_a_question_of_a_topic_may_be_made_to_begin_with_words_of_the_file(tmp_path: Path) -> None:
    found = contract(families.qwen(tmp_path), "school")
    asked = found.prompt(PROPOSER, PromptContext(topic="a remainder", opening="Find the"))
    assert asked.endswith("new problem: a remainder.<|im_end|>\n<|im_start|>assistant\n<question>Find the")
    assert found.proposer_opening == "<question>", "that of all texts"
    assert set(found.openings) == set(found.topics)


def test_the_name_of_prompts_tells_all_that_is_in_their_file(tmp_path: Path) -> None:
    folder, names = families.qwen(tmp_path / "model"), []
    for change in ("", "bees", "cannot be answered", "Be brief"):
        text = MINE.replace(change, f"{change} then") if change else MINE
        found = contract(folder, own_file(tmp_path / "mine", text), tool=False)
        names.append(found.name)
        assert found.name.startswith("mine-chat-")
    assert len(set(names)) == len(names)
    assert contract(folder, own_file(tmp_path / "mine"), tool=False).refusal == "cannot be answered"


def test_prompts_of_before_are_called_what_they_were(tmp_path: Path) -> None:
    """Recorded before prompts were files: what runs and evaluations keep."""
    folder = families.qwen(tmp_path)
    assert contract(folder, "agent0").name == "agent0-chat-6512d5aa"
    assert contract(folder, "r-zero", tool=False).name == "r-zero-chat-4aa5c009"
    assert contract(folder, "plain", tool=False).name == "plain-chat-90e280b0"


def test_programs_that_run_at_their_fence_are_told_so(tmp_path: Path) -> None:
    folder = str(families.qwen(tmp_path))
    told = OpenWorld(folder, "agent0", Acting(call_at="fence")).contract.prompt(SOLVER)
    assert "as soon as it is closed" in told
    assert "as soon as the line ```output follows" not in told


def test_an_answer_may_be_made_to_begin_with_something(tmp_path: Path) -> None:
    text = MINE.replace("system: Be brief.", 'opening: "Let us see."')
    found = contract(families.qwen(tmp_path / "model"), own_file(tmp_path / "mine", text), tool=False)
    assert found.opening(SOLVER) == "Let us see."
    assert not found.prompt(SOLVER).endswith("see."), "tokens of their own, behind the prompt"


def test_worked_questions_have_the_keys_at_which_they_stand() -> None:
    found = worked_questions(prompt_file("arithmetic"), tool=False)
    assert found["solver_without_tool.examples.0"] == "What is 58 plus 67?"
    assert found["proposer.examples.0"] == "What is the product of 36 and 24?"
    assert not any(key.startswith("solver.") for key in found)
    assert worked_questions(prompt_file("agent0"), tool=True) == {}


PROPOSED = 'proposer: {task: "Write."}\n'
SOLVED = 'solver: {task: "{question}"}\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SOLVED, "proposer is missing"),
        (PROPOSED, "solver is missing"),
        (SOLVED + PROPOSED + "sistem: x", "unknown key sistem"),
        (SOLVED.replace("task", "tusk: x, task") + PROPOSED, "unknown key solver.tusk (did you mean solver.task?)"),
        (
            'solver: {task: "{question}", examples: [{user: a, asistant: b}]}\n' + PROPOSED,
            "mean solver.examples.0.assistant?",
        ),
        ("solver: {task: Solve it.}\n" + PROPOSED, "solver.task does not hold {question}"),
        ("solver: {task: 3}\n" + PROPOSED, "solver.task: "),
        (SOLVED + PROPOSED + "form: chat", "form: "),
        (SOLVED + PROPOSED + "speakers: [A, A]", "speakers"),
        (SOLVED + PROPOSED + "speakers: [A]", "speakers: "),
        (SOLVED + 'proposer: {task: "On {topic}."}', "proposer.topics"),
        (SOLVED + "proposer: {task: Write., levels: [easy]}", "proposer.levels"),
        (SOLVED + 'proposer: {task: "On {topic}.", topics: [a, a]}', "proposer.topics"),
        (SOLVED + 'proposer: {task: "{topic}", topics: [a], openings: {b: [A]}}', "proposer.openings.b"),
        (SOLVED + 'proposer: {task: "{topic}", topics: [a], openings: {a: []}}', "proposer.openings.a"),
        (SOLVED + 'proposer: {task: "{topic}", topics: [a], openings: {a: [" "]}}', "proposer.openings.a"),
        (SOLVED + "proposer: {task: W., examples: [{user: W., assistant: 'What? \\boxed{3}'}]}", "<question>"),
        (SOLVED + "proposer: {task: W., examples: [{user: W., assistant: '<question>A?</question>'}]}", "boxed"),
        (
            SOLVED + "proposer: {task: W., opening: Go, examples: "
            "[{user: W., assistant: '<question>A?</question> \\boxed{3}'}]}",
            "proposer.examples.0.assistant does not begin",
        ),
        ("- a", "mapping"),
        ("solver: {task: [", "not valid YAML"),
    ],
)
def test_a_fault_in_a_prompt_file_is_told_with_file_and_key(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parsed_prompts(text, "mine.yaml")
    assert said in str(error.value)
    assert error.value.where.startswith("mine.yaml")
    assert error.value.fix


def test_prompts_that_do_not_exist_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown prompt file arithmetics \(did you mean arithmetic\?\)"):
        prompt_file("arithmetics")
    with pytest.raises(ConfigError, match="cannot read the prompt file"):
        prompt_file(str(tmp_path / "none.yaml"))


def test_examples_may_hold_what_only_looks_like_a_placeholder(tmp_path: Path) -> None:
    example = Example(user="Q {question}", assistant="\\boxed{topic}")
    text = f"solver: {{task: '{{question}}', examples: [{example.model_dump_json()}]}}\n{PROPOSED}"
    found = contract(families.qwen(tmp_path / "model", chat=False), own_file(tmp_path / "mine", text))
    shown = found.prompt(SOLVER, PromptContext("Why?"))
    assert "Q {question}" in shown
    assert "\\boxed{topic}" in shown
    assert Codec(tmp_path / "model").encode(shown).size > 0
