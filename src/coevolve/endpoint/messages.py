"""What an OpenAI-compatible endpoint is sent and says: addresses, and the meaning of its responses."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import httpx

from coevolve.errors import ConfigError

OWNER = "coevolve"  # of an agent behind `coevolve serve`, in the list of its models
CHAT, COMPLETIONS, MODELS = "chat/completions", "completions", "models"
_LONGEST_MESSAGE = 300
_RETRIED = frozenset({408, 409, 425, 429}) | frozenset(range(500, 600))
_NO_ENTRY = frozenset({401, 403})
_WITHOUT_END = frozenset({"insufficient_quota", "billing_not_active"})  # codes of a 429 that waiting does not change
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\uffff]+")


class Failed(Exception):
    """One attempt failed, and another may not.

    ``busy``: the server did not look at the request; ``after_s``: when it said that it would.
    """

    def __init__(
        self, reason: str, *, busy: bool = False, after_s: float | None = None, timed_out: bool = False
    ) -> None:
        super().__init__(reason)
        self.busy, self.after_s, self.timed_out = busy, after_s, timed_out


class Refused(Exception):
    """The server looked at the request, and would refuse it again."""


class Useless(Exception):
    """No request to this endpoint can be answered. ``what`` goes on after its URL, ``fix`` says what to do."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


class Malformed(Exception):
    """An answer that makes no sense; says why."""


class Completion(NamedTuple):
    """What the first choice of a response says."""

    text: str
    finish: str  # "stop", "length", ...; empty where the server does not tell
    tokens: int  # that were sampled; 0 where the server does not tell
    model: str  # that answered; empty where the server does not tell
    agent: Mapping[str, Any] | None  # what `coevolve serve` tells of an answer: its tool calls, what it takes for it


def base_url(text: str) -> str:
    """The URL of an endpoint up to its version, of whatever form a user gives.

    "http://host:8000" and "http://host:8000/v1/chat/completions" are both "http://host:8000/v1".

    Raises:
        ConfigError: it is no URL, or holds a password.
    """
    parts = urlsplit(text.strip())
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"no URL of an endpoint: {text[:200]}", fix="give one like http://127.0.0.1:8000/v1")
    if "@" in parts.netloc:
        raise ConfigError(
            "the URL of the endpoint holds a user or a password, and command lines are kept",
            where=parts.hostname or "",
            fix="put the key into an environment variable, and name that (--api-key-env NAME)",
        )
    path = parts.path.rstrip("/").removesuffix(f"/{CHAT}").removesuffix(f"/{COMPLETIONS}")
    return urlunsplit((parts.scheme, parts.netloc, path or "/v1", parts.query, ""))


def below(url: str, path: str) -> str:
    """The address of a path below a base URL, whose query stays at the end."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path}/{path}"))


def shown(url: str) -> str:
    """The URL without its query, which may hold a key."""
    return urlunsplit(urlsplit(url)._replace(query=""))


def accepted(response: httpx.Response, key: str | None = None) -> dict[str, Any]:
    """The JSON object of a successful response.

    Args:
        response: with its body.
        key: which the server was sent; never repeated in a message.

    Raises:
        Failed, Refused, Useless: what else the response means.
    """
    status = response.status_code
    if status == 200:
        return _object(response.content, key)
    reason = f"{status} {response.reason_phrase}".strip()
    said, code = _said(response.content, key)
    text = f"{reason}: {said}" if said else reason
    if status in _NO_ENTRY:
        raise Useless(
            f"lets us not in: {text}", "name an environment variable that holds a key of it: {key option} NAME"
        )
    if status == 404:
        fix = "the URL ends in a version, such as /v1; the name of the model is one that the server lists (--model)"
        raise Useless(f"has no such model or path: {text}", fix)
    if 300 <= status < 400:
        raise Useless(f"is elsewhere: {text}", f"give its new address: {response.headers.get('Location', '')[:200]}")
    if status == 429 and code in _WITHOUT_END:
        raise Useless(f"answers no more: {text}", "see to the account")
    if status in _RETRIED:
        raise Failed(text, busy=status == 429, after_s=_rest(response.headers.get("Retry-After")))
    raise Refused(text)


def completion(message: dict[str, Any]) -> Completion:
    """Reads the response to a chat or a prompt.

    Raises:
        Malformed: there is no choice with a text in it.
    """
    choices = message.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Malformed("it has no choices")
    choice = choices[0]
    holder, name = (choice["message"], "content") if isinstance(choice.get("message"), dict) else (choice, "text")
    text = holder.get(name, False)  # null: a model that used up its tokens before it said anything
    if text is not None and not isinstance(text, str):
        raise Malformed("its first choice has no text")
    finish, usage, model = choice.get("finish_reason"), message.get("usage"), message.get("model")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else 0
    return Completion(
        text or "",
        finish if isinstance(finish, str) else "",
        tokens if isinstance(tokens, int) else 0,
        model if isinstance(model, str) else "",
        agent if isinstance(agent := choice.get("coevolve"), Mapping) else None,
    )


def same_model(asked: str, answered: str) -> bool:
    """Whether the model that answered can be the one that was asked.

    Servers add a date ("gpt-x" answers as "gpt-x-2026-01-01"), or name the folder of a model in full.
    """
    first, second = (name.casefold().rstrip("/").rpartition("/")[2] for name in (asked, answered))
    return not second or first.startswith(second) or second.startswith(first)


def words(error: BaseException) -> str:
    """What went wrong with a connection."""
    return str(error) or type(error).__name__


def _object(content: bytes, key: str | None) -> dict[str, Any]:
    try:
        message = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Failed(f"its answer is no JSON: {_line(content.decode(errors='replace'), key, 80)!r}") from error
    if not isinstance(message, dict):
        raise Failed("its answer is no JSON object")
    if "choices" not in message and message.get("error"):
        raise Failed(f"its answer is an error: {_said(content, key)[0]}")
    return message


def _said(content: bytes, key: str | None) -> tuple[str, str]:
    """The message and the code of an error, of whatever form."""
    text = content[: 1 << 16].decode(errors="replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return _line(text, key), ""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return _line(str(error), key), ""
    said = next((error[name] for name in ("message", "detail", "error") if error.get(name)), text)
    return _line(str(said), key), str(error.get("code") or error.get("type") or "")


def _line(text: str, key: str | None, longest: int = _LONGEST_MESSAGE) -> str:
    """The beginning of a text in one printable line, without the key."""
    text = text.replace(key, "***") if key else text
    return " ".join(_UNPRINTABLE.sub(" ", text).split())[:longest]


def _rest(after: str | None) -> float | None:
    """Seconds of a Retry-After, which is a number or a date."""
    if after is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}(\.\d*)?\s*", after, re.ASCII):
        return float(after)
    try:
        when = parsedate_to_datetime(after)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, when.timestamp() - time.time())
