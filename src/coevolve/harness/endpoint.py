"""A model behind an OpenAI-compatible URL as a target: one prompt per answer, no tool of ours."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coevolve.endpoint.client import Client, Fault, Patience, Request
from coevolve.endpoint.messages import (
    CHAT,
    COMPLETIONS,
    OWNER,
    Completion,
    Malformed,
    Useless,
    base_url,
    completion,
    same_model,
)
from coevolve.errors import ConfigError
from coevolve.grading.extract import last_box, last_boxed
from coevolve.grading.grade import Kind
from coevolve.harness.target import Place, Reply
from coevolve.sandbox.base import Status
from coevolve.types import StopReason
from coevolve.worlds.base import Problem

_LETTER = "Reason step by step. The last line is the letter of the right option alone, as \\boxed{}."
_ANSWER = "Reason step by step. The last line is the final answer alone, as \\boxed{}."
INSTRUCTIONS: Mapping[Kind, str] = {kind: _LETTER if kind is Kind.CHOICE else _ANSWER for kind in Kind}

MAX_TOKENS = 4096  # of one answer, where nobody says otherwise
_SPEAKERS = ("Question:", "Answer:")  # of a plain prompt, for models without a chat template
_STOPS = {"stop": StopReason.EOS, "": StopReason.EOS, "length": StopReason.LENGTH}
_BEHIND_BOX = re.compile(r"[.$*\\)\] ]{0,3}")  # the end of a formula, a full stop
_TOO_LONG = (Status.TIMEOUT, Status.CPU_LIMIT)  # of a tool call
_LARGEST_SEED = 1 << 31


@dataclass(frozen=True, slots=True)
class Asking:
    """What an endpoint is asked, and how it is to answer.

    Args:
        chat: chat completions, which the server puts into the template of its model; without it plain prompts.
        system: the message of the system, or what a plain prompt begins with; empty for none.
        instruction: behind every question; None: by the kind of its answer, see ``INSTRUCTIONS``; empty: none.
        temperature, top_p: of sampled answers; greedy ones have temperature 0.
        max_tokens: of one answer; None: as many as the server allows.
    """

    chat: bool = True
    system: str = ""
    instruction: str | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int | None = None

    def question(self, problem: Problem) -> str:
        """The user's turn: the question, which shows the options of a choice already, and the instruction."""
        instruction = INSTRUCTIONS[problem.kind] if self.instruction is None else self.instruction
        return "\n\n".join(part for part in (problem.task.question, instruction) if part)

    def body(self, problem: Problem, place: Place, seed: int) -> dict[str, object]:
        """The request for one answer, without the model."""
        sampling: dict[str, object] = {"temperature": 0.0}
        if not place.greedy:
            sampling = {"temperature": self.temperature, "top_p": self.top_p, "seed": seed_of(problem, place, seed)}
        limit = {} if self.max_tokens is None else {"max_tokens": self.max_tokens}
        return {**self._prompt(self.question(problem)), **sampling, **limit}

    def _prompt(self, question: str) -> dict[str, object]:
        if self.chat:
            system = [{"role": "system", "content": self.system}] if self.system else []
            return {"messages": [*system, {"role": "user", "content": question}]}
        asks, answers = _SPEAKERS
        lead = f"{self.system}\n\n" if self.system else ""
        return {"prompt": f"{lead}{asks} {question}\n{answers}", "stop": [f"\n{asks}"]}


def seed_of(problem: Problem, place: Place, seed: int) -> int:
    """The seed of one answer, which depends on nothing else: not on the order, nor on what else is asked."""
    digest = hashlib.sha256(f"{seed}\0{problem.task.id}\0{place.sample}".encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:8]) % _LARGEST_SEED


class EndpointTarget:
    """Implements ``coevolve.harness.target.Target``.

    What ``asking`` leaves open an agent behind ``coevolve serve`` decides: it has prompts and limits of its own.
    Any other model is asked with the instruction that fits the question, for ``MAX_TOKENS`` at most.

    Args:
        url: of the server, in any of the forms of ``base_url``.
        model: its name there; None: the only one that the server has.
        asking: what is asked.
        patience: how much at once, and for how long.
        key: for a server that wants one; neither stored nor shown.

    Raises:
        ConfigError: the URL is none, or the server has several models and none is named.
        CoevolveError: the server cannot be reached.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        asking: Asking,
        patience: Patience,
        key: str | None = None,
    ) -> None:
        self._client = Client(base_url(url), key=key, patience=patience)
        try:
            served = self._client.models()
            self._model = model or only_model(self._client, served)
        except BaseException:
            self.close()
            raise
        if served.get(self._model) == OWNER:
            self._asking = replace(asking, instruction=asking.instruction or "")
        else:
            self._asking = replace(asking, max_tokens=asking.max_tokens or MAX_TOKENS)

    @property
    def name(self) -> str:
        return f"{self._model} at {self._client.shown}"

    @property
    def facts(self) -> Mapping[str, object]:
        asking = self._asking
        own = asking.instruction
        return {
            "endpoint": self._client.shown,
            "model": self._model,
            "api": CHAT if asking.chat else COMPLETIONS,
            "system": asking.system,
            "instructions": {str(kind): text if own is None else own for kind, text in INSTRUCTIONS.items()},
            "temperature": asking.temperature,
            "top_p": asking.top_p,
            "max_tokens": asking.max_tokens,
        }

    def answer(self, problems: Sequence[Problem], places: Sequence[Place], seed: int) -> Iterator[tuple[Place, Reply]]:
        """The answers as they arrive. A request that was given up is a reply with a fault; see ``Client.ask``."""
        path = CHAT if self._asking.chat else COMPLETIONS
        requests = (self._request(problems[place.problem], place, seed) for place in places)
        for place, reply in self._client.ask(path, requests, self._read):
            yield place, Reply("", None, "", fault=reply.reason) if isinstance(reply, Fault) else reply

    def close(self) -> None:
        self._client.close()

    def _request(self, problem: Problem, place: Place, seed: int) -> Request[Place]:
        which = "greedy" if place.greedy else f"sample {place.sample}"
        body = {"model": self._model, **self._asking.body(problem, place, seed)}
        return Request(place, f"{problem.task.id}, {which}", body)

    def _read(self, message: dict[str, Any], seconds: float) -> Reply:
        said = completion(message)
        if not same_model(self._model, said.model):
            what = f"was asked for {self._model}, and {said.model[:200]} answered"
            raise Useless(what, f"name the model that is meant: --model {said.model[:200]}")
        if said.agent is not None:
            return _of_agent(said, said.agent, seconds)
        text, stop = said.text, _STOPS.get(said.finish, said.finish)
        if not self._asking.chat and (end := end_of_boxed_line(text)) is not None:
            text, stop = text[:end], StopReason.EOS
        answer = last_boxed(text) if stop is StopReason.EOS else None
        return Reply(text, answer, stop, tokens=said.tokens, wall_s=seconds)


def _of_agent(said: Completion, agent: Mapping[str, Any], seconds: float) -> Reply:
    """The answer of a served agent, which reads its own answer and has a tool.

    Raises:
        Malformed: it does not say what it should.
    """
    answer, stop, calls = agent.get("answer"), agent.get("stop"), agent.get("tool_calls")
    if not (answer is None or isinstance(answer, str)) or not isinstance(stop, str) or not isinstance(calls, list):
        raise Malformed("its field coevolve lacks answer, stop or tool_calls")
    late = sum(isinstance(call, dict) and call.get("status") in _TOO_LONG for call in calls)
    return Reply(said.text, answer, stop, said.tokens, tool_calls=len(calls), tool_timeouts=late, wall_s=seconds)


def only_model(client: Client, served: Mapping[str, str]) -> str:
    """The name of the only model of a server.

    Raises:
        ConfigError: it has several, or does not tell.
    """
    names = list(served)
    if len(names) == 1:
        return names[0]
    has = f"has {len(names)} models: {', '.join(names[:20])}" if names else "does not say which models it has"
    raise ConfigError(f"the endpoint {client.shown} {has[:600]}", fix="name one with --model")


def end_of_boxed_line(text: str) -> int | None:
    """Where the first line that ends with a complete box ends; what a base model writes behind it is no part of it."""
    end = text.find("\n")
    while end >= 0:
        if "}" in text[max(0, end - 4) : end]:
            box = last_box(text[:end])
            if box and box.content and "\n" not in text[box.start : end] and _BEHIND_BOX.fullmatch(text, box.end, end):
                return end
        end = text.find("\n", end + 1)
    return None
