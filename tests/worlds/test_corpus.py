"""The textbook: its format, its split from the held-out questions, and its tokens."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

import pytest
from transformers import PreTrainedTokenizerFast

from coevolve.config import EvaluationSection
from coevolve.errors import ConfigError
from coevolve.types import PROPOSER, SOLVER, Origin, Task
from coevolve.worlds.base import PromptContext
from coevolve.worlds.miniature.corpus import ALL_TOOL, Document, Mixture, documents
from coevolve.worlds.miniature.grammar import is_reserved, is_well_formed, operations_used
from coevolve.worlds.miniature.learner import MiniatureContract
from coevolve.worlds.miniature.meter import (
    DIALOGUE_TURNS,
    MORE_STEPS,
    TRANSFER_SETS,
    MiniatureMeter,
    held_out,
    held_out_dialogues,
    transfer_set,
)
from coevolve.worlds.miniature.operations import RARE
from coevolve.worlds.miniature.training import encode_all
from coevolve.worlds.miniature.truth import answer
from coevolve.worlds.miniature.vocabulary import EOS, TOKENS, UNKNOWN, save_tokenizer

N = 3000


@pytest.fixture(scope="module")
def corpus() -> list[Document]:
    return list(islice(documents(Mixture(), 7), N))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def question_of(document: Document) -> str:
    found = re.match(r"<question>(.*?)</question>\n", document.text)
    assert found is not None
    return found[1]


def test_equal_seeds_give_equal_documents() -> None:
    first, again, other = ([document.text for document in islice(documents(Mixture(), seed), 50)] for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_no_reserved_question_is_in_the_corpus_and_only_reserved_ones_are_held_out(corpus) -> None:
    assert not any(is_reserved(question_of(d)) for d in corpus if is_well_formed(question_of(d)))
    suites = MiniatureMeter().suites(EvaluationSection(per_level=60, transfer_per_set=40, dialogues=5), 0)
    assert [suite.key for suite in suites[:5]] == ["1", "2", "3", "4", "5"]
    assert {suite.part for suite in suites[5:]} == {"transfer"}
    for suite in suites:
        problems = suite.load()
        assert len(problems) == suite.size > 0
        assert all(is_reserved(problem.task.question) for problem in problems)
        assert all(problem.truth == answer(problem.task.question) for problem in problems)


def test_what_the_configuration_does_not_ask_for_is_no_suite() -> None:
    suites = MiniatureMeter().suites(EvaluationSection(levels=2, transfer_per_set=0), 0)
    assert [(suite.part, suite.key) for suite in suites] == [("held_out", "1"), ("held_out", "2")]
    assert [suite.answers for suite in suites] == [60 * (8 + 1)] * 2


def test_the_split_does_not_depend_on_white_space() -> None:
    questions = [f"Let a = {n} * 80. Find a." for n in range(100, 400)]
    assert 5 <= sum(map(is_reserved, questions)) <= 40
    assert [is_reserved(q) for q in questions] == [is_reserved(f"  {q.replace(' ', '  ')}\n") for q in questions]


def test_the_mixture_has_the_asked_shares(corpus) -> None:
    steps = Counter(len(operations_used(question_of(document))) for document in corpus)
    mixture = Mixture()
    assert steps[0] / N == pytest.approx(mixture.damaged, abs=0.02)
    for n, share in enumerate(mixture.steps, start=1):
        assert steps[n] / (N - steps[0]) == pytest.approx(share, abs=0.035)
    answered = [d for d in corpus if len(d.pieces) > 1]
    with_tool = sum("```python" in d.text for d in answered) / len(answered)
    assert 0.3 < with_tool < 0.5


def test_damaged_questions_stay_without_an_answer(corpus) -> None:
    for document in corpus:
        well_formed = is_well_formed(question_of(document))
        assert document.text.endswith("}") == well_formed
        assert (len(document.pieces) > 1) == well_formed


def test_right_tool_documents_box_the_true_answer() -> None:
    for document in islice(documents(ALL_TOOL, 1), 300):
        question = question_of(document)
        assert document.text.endswith(f"\\boxed{{{answer(question)}}}")
        assert document.text.count("```output\n") == len(operations_used(question))


def test_code_blocks_print_what_python_prints() -> None:
    """Every block of the corpus, executed for real; a failing one must show the error word."""
    allowed = {name: __builtins__[name] for name in ("abs", "int", "len", "map", "oct", "str", "sum")}
    for document in islice(documents(Mixture(), 5), 400):
        for code, shown in re.findall(r"print\((.*)\)\n```\n```output\n(.*)\n```", document.text):
            try:
                value = eval(code, {"__builtins__": allowed})  # our own text, in a test
            except (NameError, TypeError, ValueError, ZeroDivisionError):
                value = "error"
            if isinstance(value, int) and abs(value) >= 10**7:
                value = "error"
            assert str(value) == shown


def test_decoding_inverts_encoding_on_everything_the_world_writes(corpus, tokenizer) -> None:
    texts = [document.text for document in corpus]
    texts += [t.question for name in TRANSFER_SETS for t in transfer_set(name, 40, 0)]
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == text
        assert TOKENS.index(UNKNOWN) not in ids


def test_the_corpus_has_the_tokens_of_a_rollout(corpus, tokenizer) -> None:
    """Appending an observation to sampled tokens gives the tokens of the corpus; nothing is re-encoded."""
    tool = [document for document in corpus if "```output" in document.text][:500]
    for document, (ids, learnt) in zip(tool, encode_all(tokenizer, tool), strict=True):
        assert ids == [*tokenizer.encode(document.text, add_special_tokens=False), TOKENS.index(EOS)]
        rebuilt: list[int] = []
        for text, learn in document.pieces:
            if not learn:
                assert tokenizer.decode(rebuilt).endswith("```output\n")
                assert text.endswith("\n```\n")
            rebuilt += tokenizer.encode(text, add_special_tokens=False)
        assert [*rebuilt, TOKENS.index(EOS)] == ids
        shown = [token for token, learn in zip(ids, learnt, strict=True) if not learn]
        observations = "".join(text for text, learn in document.pieces if not learn)
        assert shown == tokenizer.encode(observations, add_special_tokens=False)


def test_the_output_fence_is_one_token(tokenizer) -> None:
    for fence in ("```python\n", "```output\n", "\n```\n"):
        assert len(tokenizer.encode(fence, add_special_tokens=False)) == 1


def test_prompts_are_those_of_the_corpus_and_of_the_chat_template(corpus, tokenizer) -> None:
    contract, question = MiniatureContract(), question_of(corpus[0])
    task = Task("t", (question,), "chain", Origin("test", PROPOSER, 0))
    prompt = contract.prompt(SOLVER, PromptContext(task.turns[0]))
    assert corpus[0].text.startswith(prompt)
    assert prompt.startswith(contract.prompt(PROPOSER) + question + contract.stops(PROPOSER)[0])
    assert tokenizer.apply_chat_template([{"role": "user", "content": question}], tokenize=False) == prompt


def test_foreign_text_becomes_unknown_and_never_fails(tokenizer) -> None:
    for text in ("Grüße 𝄞", "import os", "\t", "What is 2 + 2?", ""):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert all(0 <= token < len(TOKENS) for token in ids)
    assert TOKENS.index(UNKNOWN) in tokenizer.encode("Grüße", add_special_tokens=False)


@pytest.mark.parametrize(
    ("status", "stdout", "shown"),
    [
        ("ok", "24\n", "24"),
        ("ok", "-57\n", "-57"),
        ("ok", "123456789\n", "123456789"),
        ("ok", "1234567890\n", "error"),
        ("ok", "", "error"),
        ("ok", "3.5\n", "error"),
        ("ok", "1\n2\n", "error"),
        ("ok", "²\n", "error"),
        ("timeout", "24\n", "error"),
        ("error", "", "error"),
    ],
)
def test_observations_are_short_integers_or_the_error_word(status: str, stdout: str, shown: str, tokenizer) -> None:
    observation = MiniatureContract().observation(status, stdout, "Traceback ...\nNameError: name 'a'")
    assert observation == shown
    assert TOKENS.index(UNKNOWN) not in tokenizer.encode(f"{observation}\n```\n", add_special_tokens=False)


def test_held_out_tasks_are_different_seeded_and_answered() -> None:
    meter = MiniatureMeter()
    for level in range(1, 6):
        tasks = held_out(level, 60, seed=1)
        assert len({task.question for task in tasks}) == len({task.id for task in tasks}) == 60
        assert tasks == held_out(level, 60, seed=1)
        assert all(len(operations_used(task.question)) == level and meter.truth(task) is not None for task in tasks)
        assert all(task.proposed_answer is None for task in tasks)
        assert tasks != held_out(level, 60, seed=2)


def test_transfer_sets_are_what_their_names_say() -> None:
    meter = MiniatureMeter()
    sets = {name: transfer_set(name, 60, seed=0) for name in TRANSFER_SETS}
    assert all(len(operations_used(task.question)) == MORE_STEPS for task in sets["more_steps"])
    assert len(Mixture().steps) < MORE_STEPS
    assert all(RARE.name in operations_used(task.question) for task in sets["rare_operation"])
    usual = [task.question for level in (1, 2, 3) for task in held_out(level, 60, 0)]
    assert not {task.question for task in sets["paraphrase"]} & set(usual)
    assert all(meter.truth(task) is not None for tasks in sets.values() for task in tasks)


def test_rare_operation_and_paraphrases_hardly_occur_in_the_corpus(corpus) -> None:
    used = [name for document in corpus for name in operations_used(question_of(document))]
    assert 0 < used.count(RARE.name) / len(used) < 0.02
    rare = sum(" times " in d.text or " plus " in d.text or "what is left" in d.text for d in corpus)
    assert 0 < rare / N < 0.02


def test_held_out_dialogues_have_as_many_turns_as_they_say_and_ask_for_the_chains_answer() -> None:
    for turns in DIALOGUE_TURNS:
        tasks = held_out_dialogues(turns, 5, 0)
        assert len({task.id for task in tasks}) == 5
        for task in tasks:
            assert len(task.turns) == turns
            assert is_reserved(task.question)
            assert MiniatureMeter().truth(task) == answer(task.question)
            together = MiniatureMeter(all_turns=True).truth(task)
            assert together is not None
            parts = together[1:-1].split(", ")
            assert (len(parts), parts[-1]) == (len(task.turns), answer(task.question))
            assert parts[0] == answer(task.turns[0])


def test_the_answer_to_a_plain_question_is_the_same_where_all_turns_count() -> None:
    for task in held_out(2, 3, 0):
        assert MiniatureMeter(all_turns=True).truth(task) == MiniatureMeter().truth(task)


def test_the_model_of_the_miniature_world_cannot_be_told_what_to_write() -> None:
    contract = MiniatureContract()
    assert contract.prompt(PROPOSER, PromptContext()) == "<question>"
    for context in (PromptContext(examples=("Let a = 1 + 2. Find a.",)), PromptContext(kind="chain")):
        with pytest.raises(ConfigError, match="one prompt"):
            contract.prompt(PROPOSER, context)
