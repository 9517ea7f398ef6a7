"""Requests in OpenAI's format: what is read of them, what is refused, what is ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from coevolve.config.acting import Distribution
from coevolve.serving.refusals import NOT_FOUND, Refusal

GREEDY_BELOW = 1e-3  # of the temperature: next to nothing is left to any token but the likeliest
_MOST_STOPS = 16

_OWN_TOOL = "the agent has a tool of its own, which runs on the server, and takes no others"
_NO_LOGPROBS = "an answer consists of several texts with tool output between them; log-probabilities are not served"
_FREE_TEXT = "answers are free text"
_AS_TRAINED = "tokens are drawn as in training: temperature, top_p and top_k can be set"
# Known parameters that cannot be honoured: the values that ask for nothing, and why others are refused.
_REFUSED: Mapping[str, tuple[tuple[object, ...], str]] = {
    **dict.fromkeys(("tools", "functions"), ((None, []), _OWN_TOOL)),
    **dict.fromkeys(("tool_choice", "function_call"), ((None, "none", "auto"), _OWN_TOOL)),
    **dict.fromkeys(("logprobs", "echo"), ((None, False), _NO_LOGPROBS)),
    **dict.fromkeys(("top_logprobs", "prompt_logprobs"), ((None,), _NO_LOGPROBS)),
    "response_format": ((None, {"type": "text"}), _FREE_TEXT),
    **dict.fromkeys(
        ("guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "audio", "prediction"),
        ((None,), _FREE_TEXT),
    ),
    "modalities": ((None, ["text"]), _FREE_TEXT),
    "suffix": ((None, ""), "an answer follows its question, nothing follows it"),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "min_p", "min_tokens"), ((None, 0), _AS_TRAINED)),
    "repetition_penalty": ((None, 1), _AS_TRAINED),
    "logit_bias": ((None, {}), _AS_TRAINED),
    "stop_token_ids": ((None, []), _AS_TRAINED),
    **dict.fromkeys(("use_beam_search", "ignore_eos"), ((None, False), _AS_TRAINED)),
    **dict.fromkeys(("reasoning_effort", "verbosity"), ((None,), "the agent answers as it was trained to")),
    "continue_final_message": ((None, False), "the agent begins its answers itself"),
}


class _Options(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    include_usage: bool | None = None


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    model: str | None = None
    n: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    max_tokens: int | None = Field(None, ge=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: _Options | None = None
    best_of: int | None = None


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["text"]
    text: str


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]
    tool_calls: list[object] | None = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class _Chat(_Request):
    messages: list[_Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)


class _Completion(_Request):
    prompt: str | list[str] = Field(min_length=1)

    @field_validator("prompt", mode="before")
    @classmethod
    def _texts(cls, value: object) -> object:
        if isinstance(value, list) and value and isinstance(value[0], int | list):
            raise ValueError("token ids are of some vocabulary: send text (lm-eval: tokenized_requests=False)")
        return value


class Conversation(NamedTuple):
    """Turns of the user and the answers between them; one more turn than answers."""

    turns: tuple[str, ...]
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for, whichever its route."""

    chat: bool
    conversations: tuple[Conversation, ...]
    model: str | None
    n: int
    temperature: float | None
    top_p: float | None
    top_k: int | None
    max_tokens: int | None
    seed: int | None
    stop: tuple[str, ...]
    stream: bool
    with_usage: bool  # in a chunk at the end of a stream

    @property
    def answers(self) -> int:
        """How many."""
        return self.n * len(self.conversations)

    def drawn(self, default: Distribution) -> Distribution:
        """What tokens are drawn from; what the request leaves open is as by default."""
        if self.temperature is not None and self.temperature < GREEDY_BELOW:
            return Distribution(temperature=0.0)
        asked = {"temperature": self.temperature, "top_p": self.top_p}
        asked |= {"top_k": None if self.top_k is None else max(self.top_k, 0)}
        return replace(default, **{name: value for name, value in asked.items() if value is not None})  # type: ignore[arg-type]


def chat(body: bytes, *, system: Literal["refuse", "ignore"]) -> Wanted:
    """A request of /v1/chat/completions.

    Args:
        body: JSON.
        system: what is done with instructions in messages of the system.

    Raises:
        Refusal: it is malformed, or asks for what cannot be given.
    """
    request = _read(_Chat, body)
    assert isinstance(request, _Chat)
    both = {request.max_tokens, request.max_completion_tokens} - {None}
    if len(both) > 1:
        raise Refusal("max_tokens and max_completion_tokens differ: give one of them", param="max_tokens")
    longest = next(iter(both), None)
    return _wanted(request, (_conversation(request.messages, system),), longest, chat=True)


def completion(body: bytes) -> Wanted:
    """A request of /v1/completions: each prompt is a question, since what answers is an agent.

    Raises:
        Refusal: as of ``chat``.
    """
    request = _read(_Completion, body)
    assert isinstance(request, _Completion)
    prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
    return _wanted(request, tuple(Conversation((prompt,)) for prompt in prompts), request.max_tokens, chat=False)


def require_model(wanted: Wanted, name: str) -> None:
    """
    Raises:
        Refusal: the request names another model than the one that is served.
    """
    if wanted.model not in (None, name):
        asked = str(wanted.model)[:200]
        raise Refusal(
            f"there is no model {asked!r} here; the one that is served is {name!r}",
            status=404,
            kind=NOT_FOUND,
            param="model",
            code="model_not_found",
        )


def _read(schema: type[_Request], body: bytes) -> _Request:
    try:
        request = schema.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise Refusal(f"{place}: {said}" if place else said, param=place or None) from None
    for name, value in (request.model_extra or {}).items():
        neutral, why = _REFUSED.get(name, ((value,), ""))
        if not any(_same(value, other) for other in neutral):
            raise Refusal(f"{name} is not supported: {why}", param=name, code="unsupported_parameter")
    if request.best_of not in (None, 1, request.n):
        raise Refusal("best_of is not supported: ask for n answers and choose", param="best_of")
    return request


def _same(value: object, other: object) -> bool:
    """Equal as JSON, where false is not 0."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _wanted(request: _Request, asked: tuple[Conversation, ...], longest: int | None, *, chat: bool) -> Wanted:
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    if len(stops) > _MOST_STOPS:
        raise Refusal(f"{len(stops)} stop strings; there may be {_MOST_STOPS}", param="stop")
    return Wanted(
        chat=chat,
        conversations=asked,
        model=request.model,
        n=request.n or 1,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        max_tokens=longest,
        seed=request.seed,
        stop=tuple(stop for stop in stops if stop),
        stream=bool(request.stream),
        with_usage=bool(request.stream_options and request.stream_options.include_usage),
    )


def _conversation(messages: Sequence[_Message], system: str) -> Conversation:
    """The turns of user and assistant, which alternate; the last one is the question."""
    said = [message for message in messages if message.role in ("user", "assistant")]
    for i, message in enumerate(messages):
        if message.role in ("system", "developer") and message.text.strip() and system == "refuse":
            raise Refusal(
                f"a message of the {message.role}: the agent was trained with instructions of its own and knows no "
                "others; leave it out, or start the server with --system ignore",
                param=f"messages.{i}.role",
            )
        if message.tool_calls:
            raise Refusal(f"tool_calls: {_OWN_TOOL}", param=f"messages.{i}.tool_calls")
    roles = [message.role for message in said]
    if roles != ["user", *["assistant", "user"] * (len(roles) // 2)]:
        raise Refusal(
            "messages of user and assistant must alternate, and begin and end with one of the user", param="messages"
        )
    texts = tuple(message.text for message in said)
    return Conversation(texts[0::2], texts[1::2])
