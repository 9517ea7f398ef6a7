"""The tokens of the miniature world and the tokenizer folder made of them.

Whole words, code fragments and single digits, longest match first. Words carry the space that separates them
from an operand, so no token is spent on spaces. Everything the world writes survives decode(encode(text)) ==
text; a stretch of other text becomes one ``<|unk|>`` instead of an error, because this model could not learn
anything about it anyway.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

PAD, EOS, UNKNOWN = "<|pad|>", "<|endoftext|>", "<|unk|>"
SPECIAL = (PAD, EOS, UNKNOWN)

TAGS = ("<question>", "</question>", "\\boxed{", "}")
FENCES = (":\n", "```python\n", "print(", "\n```\n", "```output\n", "error", "```", "\n")
NUMBERS = tuple("0123456789")
NAMES = tuple("abcdefgh")
SENTENCE = ("Let ", " = ", ". ", ".", "Find ", " ")
WORDS = (
    *(" * ", " + ", " mod ", " xor ", " and ", " divided by "),
    *("the ", "of ", "product ", "sum ", "difference ", "distance ", "remainder "),
    *("digit ", "reverse ", "square ", "xor ", "octal ", "form "),
)
RARE_WORDS = (
    *(" times ", " plus ", " minus ", " or ", "what ", "is ", "left ", "digits ", "bits "),
    *(" read from the end", " times itself", " in octal digits"),
)
CODE = (
    *("+", "-", "*", "//", "%", "^", "|", "&", ",", "(", ")", "))", ")))"),
    *("abs(", "sum(map(int,str(", "int(str(", "len(str(", "int(oct(", ")[::-1])", ")[2:])"),
)
TOKENS = (*SPECIAL, *TAGS, *FENCES, *NUMBERS, *NAMES, *SENTENCE, *WORDS, *RARE_WORDS, *CODE)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}<question>{{ message['content'] }}</question>{{ '\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] }}<|endoftext|>{% endif %}"
    "{% endfor %}"
)


def save_tokenizer(folder: Path, tokens: Sequence[str] = TOKENS, chat_template: str = CHAT_TEMPLATE) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json`` (with the chat template) into ``folder``.

    Args:
        tokens: the vocabulary, which begins with ``SPECIAL``.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=UNKNOWN))
    longest_first = sorted(tokens[len(SPECIAL) :], key=len, reverse=True)
    pattern = Regex("|".join(_escape(token) for token in longest_first))
    core.pre_tokenizer = pre_tokenizers.Split(pattern, behavior="isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
        padding_side="right",
    )
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder, save_jinja_files=False)
    _name_public_class(folder / "tokenizer_config.json")


def _name_public_class(path: Path) -> None:
    """Name the tokenizer class that all versions of transformers and all servers know."""
    settings = json.loads(path.read_text())
    settings.pop("backend", None)
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(settings, indent=2) + "\n")


def _escape(token: str) -> str:
    """A token as a pattern that matches itself."""
    special = r"\.^$*+?{}[]|()-&"
    return "".join("\\n" if char == "\n" else f"\\{char}" if char in special else char for char in token)
