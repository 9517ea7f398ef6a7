"""From what a request asks to the episodes that answer it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from coevolve.errors import ConfigError
from coevolve.rollout.asking import answer_episode
from coevolve.rollout.base import Episode, RolloutSettings, Seat
from coevolve.rollout.seeds import seed_of
from coevolve.runs.answerer import Answerer, Readability
from coevolve.serving.refusals import Refusal
from coevolve.serving.schema import Conversation, Wanted
from coevolve.types import PROPOSER, Origin, Task
from coevolve.worlds.registry import world_named

_REMEMBERED = 1024  # questions after which the encodings of their texts are forgotten


class Prepared(NamedTuple):
    """The episodes of a request, all samples of one question together, and the tokens of its prompts."""

    episodes: tuple[Episode, ...]
    prompt_tokens: int


class Questions:
    """Makes episodes. Not for several threads at once, as the tokenizer is not.

    Args:
        answerer: who is asked.
        settings: of the rollouts that will play them.
    """

    def __init__(self, answerer: Answerer, settings: RolloutSettings) -> None:
        self._answerer, self._settings, self._readable = answerer, settings, Readability(answerer)
        self._since = 0

    def prepare(self, wanted: Wanted) -> Prepared:
        """The episodes, in the order of the choices.

        Raises:
            Refusal: the model cannot read a question, or there is no room for an answer to it.
        """
        self._since += len(wanted.conversations)
        if self._since > _REMEMBERED:
            self._readable.codec.forget()
            self._since = 0
        seed = secrets.randbits(63) if wanted.seed is None else wanted.seed
        episodes: list[Episode] = []
        tokens = 0
        for number, asked in enumerate(wanted.conversations):
            made, used = self._episodes(wanted, asked, number, seed)
            episodes += made
            tokens += used
        return Prepared(tuple(episodes), tokens)

    def _episodes(self, wanted: Wanted, asked: Conversation, number: int, seed: int) -> tuple[Sequence[Episode], int]:
        """The samples of one question; seeds are those of ``coevolve solve``, which has only one."""
        answerer, param = self._answerer, "messages" if wanted.chat else "prompt"
        example = world_named(answerer.config.world).example
        for text in (*asked.turns, *asked.answers):
            if fault := self._readable.fault(text):
                raise Refusal(f"{fault}; ask as the world does: {example}", param=param, code="unreadable")
        origin = Origin(answerer.config.method, PROPOSER, answerer.iteration or 0)
        task = Task(f"asked {number}", asked.turns[:1], "asked", origin)
        prompt = self._prompt(task, asked, param)
        tokens = len(self._readable.codec.encode(prompt))
        longest, room = wanted.max_tokens or self._settings.sampling.max_tokens, self._readable.room
        if tokens + longest > room:
            left = f"ask for max_tokens={room - tokens} at most" if tokens < room else "shorten it"
            raise Refusal(
                f"the prompt has {tokens} tokens, the answer may have {longest}, and the model has room for {room} "
                f"in all: {left}",
                param="max_tokens" if wanted.max_tokens and tokens < room else param,
                code="context_length_exceeded",
            )
        drawn, seat = wanted.drawn(answerer.drawn), Seat(answerer.agent, None)
        asked_last = replace(task, turns=asked.turns[-1:])  # what the answer is to; the prompt has all of them
        made = [
            answer_episode(self._settings, seat, asked_last, k, seed_of(seed, number, k), drawn)
            for k in range(wanted.n)
        ]
        return [
            replace(
                episode,
                seats=(replace(episode.seats[0], prompt=prompt),),
                sampling=replace(episode.sampling, max_tokens=longest),
            )
            for episode in made
        ], tokens

    def _prompt(self, task: Task, asked: Conversation, param: str) -> str:
        """What the policy is shown: the first question, then each answer that was given and what was asked after it."""
        prompt, contract = self._answerer.prompt(task), self._answerer.world.contract
        try:
            for said, then in zip(asked.answers, asked.turns[1:], strict=True):
                prompt += said + contract.follow_up(then, ended=False)
        except ConfigError as error:
            raise Refusal(f"{error.what}: ask one question at a time", param=param) from error
        return prompt
