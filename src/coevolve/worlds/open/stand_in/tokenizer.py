"""Byte-level tokenizers in the manner of a family: its special tokens and number of ids, a template of our own."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coevolve.worlds.open.contract import CALLS
from coevolve.worlds.open.prompting import prompt_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import PreTokenizer

# What a stand-in writes: which text follows which, and how often.
QUESTION, CODE, BOX, OUTPUT = "<question>", "```python\nprint(", "\\boxed{", "```output\n"
_CLOSED, _END_OF_CODE, _THOUGHT = "?</question>\n", ")\n```\n", " Let me see"
_ASKED = ("What is", "Find", "How much is")
_NUMBERS = tuple(f" {digit}" for digit in "23456789")  # of a question: digit and space in one token
_WORDS = (" plus", " times", " minus")
_DIGITS, _SIGNS, _FAULT = tuple("23456789"), ("+", "*", "-"), "/0"
_BOXED = {"5}": 0.55, "6}": 0.2, "7}": 0.15, "12}": 0.1}  # one answer often enough for votes at the frontier
_LINE_END = ".\n"

START, OBSERVED, END, OTHER_END = "START", "OBSERVED", "END", "OTHER END"  # tokens that depend on the family


def _any(choices: tuple[str, ...], share: float = 1.0) -> dict[str, float]:
    return {choice: share / len(choices) for choice in choices}


TRANSITIONS: Mapping[str, Mapping[str, float]] = {
    START: {QUESTION: 0.5, CODE: 0.4, _THOUGHT: 0.1},
    _THOUGHT: {BOX: 0.5, CODE: 0.4, END: 0.1},
    QUESTION: _any(_ASKED),
    **{words: _any(_NUMBERS) for words in _ASKED},
    **{number: {**_any(_WORDS, 0.65), _CLOSED: 0.35} for number in _NUMBERS},
    **{word: _any(_NUMBERS) for word in _WORDS},
    _CLOSED: {BOX: 0.9, END: 0.1},
    CODE: _any(_DIGITS),
    **{digit: {**_any(_SIGNS, 0.45), _END_OF_CODE: 0.5, _FAULT: 0.05} for digit in _DIGITS},
    **{sign: _any(_DIGITS) for sign in _SIGNS},
    _FAULT: {_END_OF_CODE: 1.0},
    _END_OF_CODE: {OUTPUT: 0.9, BOX: 0.1},
    OUTPUT: {END: 1.0},  # reached only where there is no tool
    OBSERVED: {BOX: 0.85, CODE: 0.15},
    BOX: _BOXED,
    **{answer: {END: 0.5, OTHER_END: 0.25, _LINE_END: 0.25} for answer in _BOXED},
    _LINE_END: {_THOUGHT: 0.5, END: 0.5},  # continues past the end, as base models do
}

PIECES = tuple(name for name in TRANSITIONS if name not in (START, OBSERVED))

_LEARNT = 1_200  # ids that are learnt from text; all others of the base vocabulary stand for nothing in particular
_CUT = r" ?\p{L}+|\p{N}|\s*[\r\n]+|[^\s\p{L}\p{N}]+[\r\n]*|\s+"


@dataclass(frozen=True, slots=True)
class Naming:
    """The special tokens of a family."""

    base: int  # ids below this one are pieces of text
    total: int  # ids of the tokenizer, special ones included
    special: tuple[tuple[str, int], ...]  # name, and place after ``base``
    eos: str
    end_of_turn: str
    beginning: str  # stands before every text; may be empty
    template: str


NAMINGS = {
    "qwen3": Naming(
        base=151_643,
        total=151_669,
        special=(("<|endoftext|>", 0), ("<|im_start|>", 1), ("<|im_end|>", 2)),
        eos="<|endoftext|>",
        end_of_turn="<|im_end|>",
        beginning="",
        template=(
            "{% for turn in messages %}<|im_start|>{{ turn['role'] }}\n{{ turn['content'] }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        ),
    ),
    "llama": Naming(
        base=128_000,
        total=128_256,
        special=(
            ("<|begin_of_text|>", 0),
            ("<|end_of_text|>", 1),
            ("<|start_header_id|>", 6),
            ("<|end_header_id|>", 7),
            ("<|eot_id|>", 9),
        ),
        eos="<|end_of_text|>",
        end_of_turn="<|eot_id|>",
        beginning="<|begin_of_text|>",
        template=(
            "{{ bos_token }}{% for turn in messages %}<|start_header_id|>{{ turn['role'] }}<|end_header_id|>\n\n"
            "{{ turn['content'] }}<|eot_id|>{% endfor %}"
            "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
        ),
    ),
}


def save_tokenizer(folder: Path, naming: Naming, *, size: int | None, chat: bool, longest: int) -> Tokenizer:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``, and return the tokenizer. Equal calls write equal files.

    Args:
        folder: must exist.
        naming: of the family.
        size: number of ids; None for the family's.
        chat: with the chat template.
        longest: tokens of the longest text, for whoever loads the folder.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, processors

    learnt = _learnt()
    content = json.loads(learnt.to_str())["model"]
    base = naming.base if size is None else size - (naming.total - naming.base)
    pieces = dict.fromkeys([*content["vocab"], *(in_bytes(piece) for piece in PIECES)])
    names = [*pieces, *(f"_{i}_" for i in range(base - len(pieces)))]
    core = Tokenizer(
        models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[tuple(pair) for pair in content["merges"]])
    )
    core.pre_tokenizer = _cutter()
    core.decoder = decoders.ByteLevel()
    named = {place: name for name, place in naming.special}
    spare = (named.get(place, f"<|spare_{place}|>") for place in range(naming.total - naming.base))
    core.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in spare])
    settings: dict[str, object] = {"eos_token": naming.eos, "pad_token": naming.eos}
    if naming.beginning:
        settings["bos_token"] = naming.beginning
        core.post_processor = processors.TemplateProcessing(
            single=f"{naming.beginning} $A", special_tokens=[(naming.beginning, core.token_to_id(naming.beginning))]
        )
    if chat:
        settings["chat_template"] = naming.template
    core.save(str(folder / "tokenizer.json"))
    settings |= {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": longest,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return core


def _learnt() -> Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _cutter()
    trainer = trainers.BpeTrainer(
        vocab_size=_LEARNT, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return tokenizer


def _cutter() -> PreTokenizer:
    """Words with their space, single digits, line ends, runs of signs; then their bytes."""
    from tokenizers import Regex, pre_tokenizers

    words = pre_tokenizers.Split(Regex(_CUT), "isolated")
    return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _texts() -> Iterator[str]:
    """What the tokenizer learns its pieces from: our own prompts, small sums and programs."""
    for name in ("agent0", "r-zero", "plain"):
        file = prompt_file(name)
        for solver in file.solvers():
            system = solver.system.replace("{calls}", CALLS["output"])
            yield "\n\n".join([system, solver.task, file.proposer.system, file.proposer.task])
    rng = random.Random("texts of a stand-in")
    for _ in range(400):
        a, b = rng.randrange(2, 99), rng.randrange(2, 99)
        yield f"User: What is {a} plus {b}?\nAssistant: The sum of {a} and {b} is \\boxed{{{a + b}}}.\n\n"
        yield f"```python\nx = {a} * {b}\nprint(x)\n```\n```output\n{a * b}\n```\nSo it is \\boxed{{{a * b}}}.\n"


def in_bytes(text: str) -> str:
    """A text in the letters that a byte-level tokenizer has for its bytes."""
    from tokenizers import pre_tokenizers

    return "".join(piece for piece, _ in pre_tokenizers.ByteLevel(False, use_regex=False).pre_tokenize_str(text))
