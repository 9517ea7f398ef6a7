"""Responses in OpenAI's format: whole ones, and the chunks of a stream."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import coevolve
from coevolve.endpoint.messages import OWNER
from coevolve.types import StopReason, Trajectory

DONE, STILL_THERE = b"data: [DONE]\n\n", b": still there\n\n"


@dataclass(frozen=True, slots=True)
class Replies:
    """Makes all that one request is sent.

    Args:
        chat: of which of the two routes.
        model: the served name.
    """

    chat: bool
    model: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(
        self, texts: Sequence[str], finishes: Sequence[str], played: Sequence[Trajectory], prompts: int
    ) -> object:
        """All choices.

        Args:
            texts: by choice.
            finishes: why each text ended.
            played: what they were made of.
            prompts: tokens of the prompts.
        """
        choices = [
            self._choice(i, {"role": "assistant", "content": text} if self.chat else text, finish, trajectory)
            for i, (text, finish, trajectory) in enumerate(zip(texts, finishes, played, strict=True))
        ]
        return self._object(choices, part=False) | {"usage": usage(played, prompts)}

    def begin(self, answer: int) -> bytes:
        """The first chunk of a choice; empty where its route has none."""
        return self._chunk(answer, {"role": "assistant", "content": ""}) if self.chat else b""

    def more(self, answer: int, text: str) -> bytes:
        """A chunk of text."""
        return self._chunk(answer, {"content": text} if self.chat else text)

    def end(self, answer: int, finish: str, trajectory: Trajectory) -> bytes:
        """The last chunk of a choice."""
        choice = self._choice(answer, {} if self.chat else "", finish, trajectory, part=True)
        return event(self._object([choice], part=True))

    def usage(self, played: Sequence[Trajectory], prompts: int) -> bytes:
        """The chunk after the last choice, where it was asked for."""
        return event(self._object([], part=True) | {"usage": usage(played, prompts)})

    def _chunk(self, answer: int, delta: object) -> bytes:
        return event(self._object([self._choice(answer, delta, None, None, part=True)], part=True))

    def _choice(
        self, answer: int, said: object, finish: str | None, trajectory: Trajectory | None, *, part: bool = False
    ) -> dict[str, object]:
        name = ("delta" if part else "message") if self.chat else "text"
        choice: dict[str, object] = {"index": answer, name: said, "logprobs": None, "finish_reason": finish}
        return choice if trajectory is None else choice | {"coevolve": extension(trajectory)}

    def _object(self, choices: list[dict[str, object]], *, part: bool) -> dict[str, object]:
        kind = ("chat.completion.chunk" if part else "chat.completion") if self.chat else "text_completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": f"coevolve-{coevolve.__version__}",
            "choices": choices,
        }


def finish_of(trajectory: Trajectory) -> str:
    """``finish_reason``: "length" where the tokens were used up, else "stop"."""
    return "length" if trajectory.stop is StopReason.LENGTH else "stop"


def extension(trajectory: Trajectory) -> dict[str, object]:
    """What OpenAI's format has no place for: the field ``coevolve`` of a choice."""
    return {
        "answer": trajectory.answer,
        "stop": str(trajectory.stop),
        "tool_calls": [
            {"code": call.code, "output": call.observation, "status": call.status} for call in trajectory.tool_calls
        ],
        "observation_tokens": len(trajectory.tokens) - trajectory.sampled,
    }


def usage(played: Sequence[Trajectory], prompts: int) -> dict[str, int]:
    """Tokens of the prompts, and those that the model sampled."""
    sampled = sum(trajectory.sampled for trajectory in played)
    return {"prompt_tokens": prompts, "completion_tokens": sampled, "total_tokens": prompts + sampled}


def event(content: object) -> bytes:
    """A server-sent event."""
    return b"data: " + to_json(content) + b"\n\n"


def to_json(content: object) -> bytes:
    """As it is sent; a model's half of a surrogate pair, which UTF-8 cannot hold, stays escaped."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def models(name: str, created: int) -> Mapping[str, object]:
    """The one model, as /v1/models/NAME gives it."""
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER}
