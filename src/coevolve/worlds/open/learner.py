"""The learner's view of the open world: prompts for any language model, and which texts are questions."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from coevolve.engine.chat import read_chat_template
from coevolve.engine.hub import model_folder
from coevolve.engine.vocabulary import Vocabulary, read_vocabulary
from coevolve.worlds.open.contract import OpenContract
from coevolve.worlds.open.questions import is_question, topic_of


class OpenWorld:
    """Questions in words, without known answers. Implements ``coevolve.worlds.base.World``."""

    name = "open"

    def __init__(self, model: str, contract: str) -> None:
        """
        Args:
            model: folder or hub id of the base model, ``model.path``.
            contract: ``model.contract``.
        """
        self._model, self._named = model, contract

    def base_model(self) -> Path:
        """The folder of the base model, in the cache of models where it is a hub id."""
        return model_folder(self._model)

    @cached_property
    def contract(self) -> OpenContract:
        """Its prompts depend on the base model: on its chat template and on the tokens its family puts first."""
        return OpenContract(self._named, self._vocabulary, read_chat_template(self.base_model()))

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return read_vocabulary(self.base_model())

    def is_well_formed(self, question: str) -> bool:
        """One question that asks for an answer, without markup, special tokens or the words of the prompt."""
        special = any(name in question for name in self._vocabulary.special)
        return is_question(question) and not special and question not in self.contract.proposer_prompt()

    def is_reserved(self, question: str) -> bool:
        """Nothing is held out here."""
        return False

    def describe(self, question: str) -> dict[str, int | str]:
        """``steps`` (always 0: they are not known) and ``topic``."""
        return {"steps": 0, "topic": topic_of(question)}
