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
OWN_WORDS = 1000  # characters that may stand in the place of output, of a cell that was not run
LATE_S = 60.0  # how much longer than its limits a snippet can have run on a machine that is far too busy
_LONGEST_WAIT_S, _MOST_SESSIONS, _MOST_WORKERS = 86_400.0, 1 << 20, 1 << 16
_CODES, _SIGNALS = range(256), range(1, 65)
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


def take_within(body: Body, key: str, most: float) -> float:
    """A field that is a number from 0 to the given one.

    Raises:
        Malformed: there is no such field, or it is something else.
    """
    value = take(body, key, float)
    if not 0.0 <= value <= most:
        raise Malformed(f"{key} is {value:g}, which is not between 0 and {most:g}")
    return value


def result_to_body(result: ToolResult) -> dict[str, object]:
    """The JSON form of a result."""
    return asdict(result)


def result_from_body(body: Body, limits: Limits) -> ToolResult:
    """The result in a JSON object.

    Args:
        body: the JSON object.
        limits: that the snippet ran under.

    Raises:
        Malformed: a field is missing or has another type, or no snippet can have ended so within its limits.
    """
    status = take(body, "status", str)
    if status not in set(Status):
        raise Malformed(f"unknown status {status[:40]!r}")
    result = ToolResult(
        status=Status(status),
        stdout=take(body, "stdout", str),
        stderr=take(body, "stderr", str),
        truncated=take(body, "truncated", bool),
        exit_code=take_optional(body, "exit_code", int),
        signal=take_optional(body, "signal", int),
        wall_ms=take_within(body, "wall_ms", (limits.longest_wall_s + LATE_S) * 1e3),
        cpu_ms=take_within(body, "cpu_ms", (limits.cpu_s + LATE_S) * 1e3),
    )
    _check_end(result)
    if len(result.stdout) + len(result.stderr) > max(limits.output_bytes, OWN_WORDS):
        raise Malformed("more output than a snippet may have")
    return result


def _check_end(result: ToolResult) -> None:
    """Raises Malformed for a status that does not fit how the process ended."""
    code, signal = result.exit_code, result.signal
    if (code is not None and code not in _CODES) or (signal is not None and signal not in _SIGNALS):
        raise Malformed(f"exit code {str(code)[:9]}, signal {str(signal)[:9]}: there is no such end")
    fits = {
        Status.OK: code == 0,
        Status.ERROR: bool(code),
        Status.MEMORY: bool(code),
        Status.OUTPUT_LIMIT: result.truncated and (code is None) is not (signal is None),
        Status.SESSION_LOST: code is None and signal is None,
    }.get(result.status, code is None and signal is not None)
    if not fits or (code is not None and signal is not None):
        raise Malformed(f"status {result.status} with exit code {code}, signal {signal}")


def health_to_body(health: Health) -> dict[str, object]:
    """The constant part of the answer to GET /health."""
    return {"protocol": PROTOCOL, **asdict(health)}


def health_from_body(body: Body) -> Health:
    """The report in a JSON object.

    Raises:
        Malformed: it is not one of our servers, or it speaks another version of the protocol."""
    if take(body, "protocol", int) != PROTOCOL:
        raise Malformed(f"protocol {body['protocol']}, and this is {PROTOCOL}")
    limits, sessions = take(body, "limits", dict), take(body, "sessions", int)
    if not 0 <= sessions <= _MOST_SESSIONS:
        raise Malformed(f"{str(sessions)[:20]} sessions")
    try:
        known = Limits(**{key: take(limits, key, kind) for key, kind in _LIMITS.items()})
    except ConfigError as error:
        raise Malformed(error.what) from None
    return Health(
        versions=_texts(take(body, "versions", dict)),
        layers=_texts(take(body, "layers", dict)),
        preload=tuple(take({"package": package}, "package", str) for package in take(body, "preload", list)),
        limits=known,
        wait_s=take_within(body, "wait_s", _LONGEST_WAIT_S),
        sessions=sessions,
    )


def workers_from_body(body: Body) -> int:
    """How many snippets a server runs at once, from its health.

    Raises:
        Malformed: it does not say so.
    """
    workers = take(take(body, "queue", dict), "workers", int)
    if not 1 <= workers <= _MOST_WORKERS:
        raise Malformed(f"{str(workers)[:20]} workers")
    return workers


_LIMITS: dict[str, type[Any]] = {name: type(getattr(Limits(), name)) for name in Limits.__slots__}


def _texts(body: Body) -> dict[str, str]:
    return {key: take(body, key, str) for key in body}
