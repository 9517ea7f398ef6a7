"""The learner's view of the open world: prompts for any language model, and which texts are questions."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from coevolve.config.resources import is_prompt_file
from coevolve.engine.chat import read_chat_template
from coevolve.engine.hub import model_folder
from coevolve.engine.vocabulary import Vocabulary, read_vocabulary
from coevolve.types import PROPOSER, Task
from coevolve.worlds.open.contract import PLAIN_TOOL, Acting, OpenContract
from coevolve.worlds.open.prompting import prompt_file
from coevolve.worlds.open.stand_in.build import small_folder

SHORTEST, LONGEST = 12, 4_000  # characters
_PROOF = re.compile(r"\b(?:prove|proof|disprove|show that|demonstrate that|justify)\b", re.IGNORECASE)
_MARKUP = ("\ufffd", "\\boxed", "```", "<question", "</question", "<|", "|>")
_PARTS = re.compile(r"\([bB]\)|\bpart b\b", re.IGNORECASE)
_BETWEEN_TURNS = re.compile(r"\n[ \t]*---[ \t]*\n")
_WORD = re.compile(r"[^\W\d_]{2,}")

# First match wins. Reports only: nothing is rewarded or dropped by topic.
_TOPICS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (topic, re.compile(rf"\b(?:{words})", re.IGNORECASE))
    for topic, words in (
        (
            "geometry",
            "triang|circle|angle|polygon|square with|rectang|sphere|tangent|perimeter|radius|inscribed|cube\\b",
        ),
        ("probability", "probab|expected|dice|die\\b|coin|random|urn|cards?\\b"),
        ("combinatorics", "how many ways|arrange|permut|combination|choose|subset|colou?rings?|tournament|graph"),
        ("number theory", "divis|prime|remainder|modulo|mod\\b|gcd|lcm|digits?\\b|integers?\\b|congru"),
        ("calculus", "integral|derivative|limit|differenti|converge|series"),
        ("linear algebra", "matri|determinant|eigen|vector"),
        ("sequences", "sequence|recurr|fibonacci|arithmetic progression|geometric progression"),
        ("algebra", "polynomial|equation|roots?\\b|function|solve|inequal|complex number|factor|real numbers?"),
        ("arithmetic", "plus\\b|minus\\b|times\\b|sum of|product of|difference of"),
        ("words", "hours?|minutes?|metres?|meters?|apples?|trains?|price|cost|per cent|percent"),
    )
)


def split_turns(text: str) -> tuple[str, ...]:
    """The user turns of a dialogue, which stand between lines of three hyphens."""
    return tuple(turn.strip() for turn in _BETWEEN_TURNS.split(text))


def is_question(text: str) -> bool:
    """One question in words, of a sensible length, that asks for an answer and not for a proof."""
    return len(text) >= SHORTEST and is_follow_up(text)


def is_follow_up(text: str) -> bool:
    """The same of a further user turn, which may be as short as "And for 7?"."""
    return (
        0 < len(text) <= LONGEST
        and all(letter.isprintable() or letter in "\n\t" for letter in text)
        and len(_WORD.findall(text)) >= 2
        and not any(mark in text for mark in _MARKUP)
        and _PROOF.search(text) is None
        and _PARTS.search(text) is None
        and text.count("?") <= 1
    )


def topic_of(text: str) -> str:
    """A field of mathematics by keywords; "text" if none matches."""
    return next((topic for topic, words in _TOPICS if words.search(text)), "text")


class OpenWorld:
    """Questions in words, without known answers. Implements ``coevolve.worlds.base.World``."""

    name = "open"

    def __init__(self, model: str | None, prompts: str, acting: Acting = PLAIN_TOOL) -> None:
        """
        Args:
            model: folder or hub id of the base model, ``model.path``; None for a small random one.
            prompts: ``model.prompts``.
            acting: what the agents may do.
        """
        self._model, self._prompts, self._acting = model, prompts, acting

    def base_model(self) -> Path:
        """The folder of the base model, in a cache where it is a hub id or the world's own; it need not be there."""
        return small_folder() if self._model is None else model_folder(self._model)

    @cached_property
    def contract(self) -> OpenContract:
        """Its prompts depend on the base model: on its chat template and on the tokens its family puts first."""
        name = Path(self._prompts).stem if is_prompt_file(self._prompts) else self._prompts
        chat = read_chat_template(self.base_model())
        return OpenContract(name, prompt_file(self._prompts), self._vocabulary, chat, self._acting)

    @cached_property
    def _asked_with(self) -> str:
        return self.contract.prompt(PROPOSER)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return read_vocabulary(self.base_model())

    def is_well_formed(self, question: str) -> bool:
        """A question that asks for an answer, without markup, special tokens or the words of the prompt: a worked
        example that was written down once more is none.

        Where dialogues are asked for, each of its turns is one.
        """
        most = self._acting.turns
        turns = split_turns(question) if most > 1 else (question,)
        special = any(name in question for name in self._vocabulary.special)
        asked = len(turns) <= most and is_question(turns[0]) and all(map(is_follow_up, turns[1:]))
        return asked and not special and question not in self._asked_with

    def is_reserved(self, question: str) -> bool:
        """Nothing is held out here."""
        return False

    def user_turns(self, question: str, most: int) -> tuple[str, ...]:
        """What stands between lines of three hyphens, where there may be more turns than one."""
        return split_turns(question) if most > 1 else (question,)

    def describe(self, question: str) -> dict[str, int | str]:
        """``steps`` (always 0: they are not known) and ``topic``."""
        return {"steps": 0, "topic": topic_of(question)}

    def check(self, task: Task, answer: str) -> None:
        """None: nobody can tell."""
