"""The chat template of a model folder, rendered without transformers and without a clock."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from coevolve.errors import ModelError

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.ext import Extension
    from jinja2.nodes import Node
    from jinja2.parser import Parser

_FILE, _SETTINGS = "chat_template.jinja", "tokenizer_config.json"
_SAID = "WHAT WAS SAID"
_END_TOKEN = re.compile(r"\A<(?:\||/)[^<>]*>")  # <|im_end|>, <|eot_id|>, </s>


class ChatTemplate:
    """Turns messages into the text that a model was raised on.

    Unlike transformers it offers templates no date: prompts of today and of tomorrow are the same, and templates that
    would name the day fall back on the one that is written in them.
    """

    def __init__(self, source: str, special: Mapping[str, str], *, where: str) -> None:
        """
        Args:
            source: the template.
            special: the tokens that a template may name, such as ``bos_token``.
            where: the file, for messages.

        Raises:
            ModelError: it is no template.
        """
        from jinja2 import TemplateError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        extensions = [loopcontrols, _generation_marks()]
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
        environment.filters["tojson"] = _as_json
        environment.globals["raise_exception"] = _refuse
        self._source, self._special, self._where = source, dict(special), where
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise self._fault(error) from error

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled by its source: what jinja makes of it cannot go to another process."""
        return _rebuilt, (self._source, self._special, self._where)

    def render(self, messages: Sequence[Mapping[str, str]], *, answer_next: bool) -> str:
        """The text of a conversation; ``answer_next`` opens the model's turn at its end.

        Raises:
            ModelError: the template refuses such a conversation.
        """
        from jinja2 import TemplateError

        given = {"messages": messages, "add_generation_prompt": answer_next, "tools": None, **self._special}
        try:
            return self._template.render(given)
        except (TemplateError, TypeError, KeyError, ValueError) as error:
            raise self._fault(error) from error

    def after_answer(self, then: str | None = None, *, ended: bool = False) -> str:
        """What the template writes after a turn of the model: the token that ends it, and what follows.

        Args:
            then: a further turn of the user, after which the model's next one is opened.
            ended: leave out the token that ends the turn, and others of its kind: they stand there already.
        """
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _SAID}]
        turns += [] if then is None else [{"role": "user", "content": then}]
        after = self.render(turns, answer_next=then is not None).partition(_SAID)[2]
        return _END_TOKEN.sub("", after) if ended else after

    def _fault(self, error: Exception) -> ModelError:
        return ModelError(
            f"the chat template cannot be used: {error}",
            where=self._where,
            fix="restore it from the model's source, or remove it: prompts are plain text then",
        )


def read_chat_template(path: Path) -> ChatTemplate | None:
    """The chat template of a model folder, None where it has none.

    Raises:
        ModelError: it cannot be read.
    """
    settings = tokenizer_settings(path)
    file = path / _FILE
    source: object = settings.get("chat_template")
    if file.is_file():
        source = file.read_text(encoding="utf-8")
    elif isinstance(source, list):  # several with names
        source = next((entry.get("template") for entry in source if entry.get("name") == "default"), None)
    if not isinstance(source, str) or not source.strip():
        return None
    special = {key: token_name(value) for key, value in settings.items() if key.endswith("_token") and value}
    return ChatTemplate(source, special, where=str(file if file.is_file() else path / _SETTINGS))


def tokenizer_settings(path: Path) -> dict[str, Any]:
    """tokenizer_config.json of a model folder; empty where there is none.

    Raises:
        ModelError: it is damaged.
    """
    file = path / _SETTINGS
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{_SETTINGS} is damaged: it is not JSON ({error})", where=str(file)) from error
    return content if isinstance(content, dict) else {}


def token_name(entry: object) -> str:
    """A special token as its settings name it: a text, or an object with its content."""
    return str(entry.get("content", "")) if isinstance(entry, dict) else str(entry)


def _generation_marks() -> type[Extension]:
    """Reads ``{% generation %}``, by which some templates mark what the model wrote, as if it were not there."""
    from jinja2.ext import Extension

    class GenerationMarks(Extension):
        def __init__(self, environment: Environment) -> None:
            super().__init__(environment)
            self.tags = {"generation"}

        def parse(self, parser: Parser) -> list[Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    return GenerationMarks


def _rebuilt(source: str, special: Mapping[str, str], where: str) -> ChatTemplate:
    return ChatTemplate(source, special, where=where)


def _as_json(value: object, ensure_ascii: bool = False, indent: int | None = None, **_: object) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _refuse(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)
