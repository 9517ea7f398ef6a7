"""The messages between server and client: JSON objects with typed fields.

Everything that arrives over the network is checked here, field by field, before anything else reads it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, cast

from coevolve.errors import ConfigError
from coevolve.sandbox.base import Limits, Status, ToolResult

PROTOCOL = 1
HEALTH, RUN, END_SESSIONS, RUN_CODE = "/health", "/v1/run", "/v1/sessions/end", "/run_code"
CLIENT = "Coevolve-Client"  # header: the secret name of a client, which its sessions belong to
LARGEST_ENVELOPE = 4096  # bytes of a message beside its texts
BYTES_PER_CHARACTER = 6  # of JSON, at most: \u00ff

Value = TypeVar("Value")
Body = Mapping[str, object]


class Malformed(Exception):
    """A message that violates the protocol."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a server reports about itself.

    Args:
        versions: of coevolve and Python.
        layers: what confines its snippets.
        preload: packages that snippets may import.
        limits: of every snippet.
        wait_s: seconds that a snippet may wait in its queue before it is rejected.
        sessions: how many may be open at once, of all clients together.
    """

    versions: Mapping[str, str]
    layers: Mapping[str, str]
    preload: tuple[str, ...]
    limits: Limits
    wait_s: float
    sessions: int


def parse(data: bytes) -> dict[str, object]:
    """A JSON object.

    Raises:
        Malformed: it is none.
    """
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON ({type(error).__name__})") from None
    if type(body) is not dict:
        raise Malformed("not a JSON object")
    return cast(dict[str, object], body)


def take(body: Body, key: str, kind: type[Value]) -> Value:
    """A field of exactly this type; a whole number may stand for a float, which must be finite.

    Args:
        body: the JSON object.
        key: of the field.
        kind: the exact type.

    Raises:
        Malformed: there is no such field, or it has another type.
    """
    value = body.get(key)
    if kind is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise Malformed(f"{key} must be {kind.__name__}, not {str(value)[:40]!r}")
    return value


def take_optional(body: Body, key: str, kind: type[Value]) -> Value | None:
    """As :func:`take`; None where the field is missing or null."""
    return None if body.get(key) is None else take(body, key, kind)


def result_to_body(result: ToolResult) -> dict[str, object]:
    """The JSON form of a result."""
    return asdict(result)


def result_from_body(body: Body) -> ToolResult:
    """The result in a JSON object.

    Raises:
        Malformed: a field is missing or has another type.
    """
    status = take(body, "status", str)
    if status not in set(Status):
        raise Malformed(f"unknown status {status[:40]!r}")
    return ToolResult(
        status=Status(status),
        stdout=take(body, "stdout", str),
        stderr=take(body, "stderr", str),
        truncated=take(body, "truncated", bool),
        exit_code=take_optional(body, "exit_code", int),
        signal=take_optional(body, "signal", int),
        wall_ms=take(body, "wall_ms", float),
        cpu_ms=take(body, "cpu_ms", float),
    )


def health_to_body(health: Health) -> dict[str, object]:
    """The constant part of the answer to GET /health."""
    return {"protocol": PROTOCOL, **asdict(health)}


def health_from_body(body: Body) -> Health:
    """The report in a JSON object.

    Raises:
        Malformed: it is not one of our servers, or it speaks another version of the protocol."""
    if take(body, "protocol", int) != PROTOCOL:
        raise Malformed(f"protocol {body['protocol']}, and this is {PROTOCOL}")
    limits = take(body, "limits", dict)
    try:
        known = Limits(**{key: take(limits, key, kind) for key, kind in _LIMITS.items()})
    except ConfigError as error:
        raise Malformed(error.what) from None
    return Health(
        versions=_texts(take(body, "versions", dict)),
        layers=_texts(take(body, "layers", dict)),
        preload=tuple(take({"package": package}, "package", str) for package in take(body, "preload", list)),
        limits=known,
        wait_s=take(body, "wait_s", float),
        sessions=take(body, "sessions", int),
    )


_LIMITS: dict[str, type[Any]] = {name: type(getattr(Limits(), name)) for name in Limits.__slots__}


def _texts(body: Body) -> dict[str, str]:
    return {key: take(body, key, str) for key in body}
