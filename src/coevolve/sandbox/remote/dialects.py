"""What a client can speak: the words for one snippet, and how its answer is read."""

from __future__ import annotations

from typing import Protocol

from coevolve.sandbox.base import Limits, ToolResult
from coevolve.sandbox.remote import fusion, wire
from coevolve.sandbox.remote.courier import Undelivered

_LARGEST_FUSION = 32 << 20  # such a server cuts its output late or not at all


class Dialect(Protocol):
    """One protocol; ``path`` is its endpoint, ``largest`` how many bytes an answer may have."""

    path: str
    largest: int

    def message(self, code: str) -> dict[str, object]:
        """The JSON object that asks for a snippet."""
        ...

    def result(self, body: wire.Body) -> ToolResult:
        """The result in an answer.

        Raises:
            Malformed: it is no such answer.
            Undelivered: the server says that it could not run the snippet.
        """
        ...


class Native:
    """That of ``coevolve sandbox serve``."""

    path = wire.RUN

    def __init__(self, limits: Limits) -> None:
        self.largest = limits.output_bytes * wire.BYTES_PER_CHARACTER + wire.LARGEST_ENVELOPE

    def message(self, code: str) -> dict[str, object]:
        return {"code": code}

    def result(self, body: wire.Body) -> ToolResult:
        return wire.result_from_body(body)


class SandboxFusion:
    """That of SandboxFusion; it has no sessions."""

    path, largest = wire.RUN_CODE, _LARGEST_FUSION

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def message(self, code: str) -> dict[str, object]:
        return fusion.request_to_body(code, self._limits)

    def result(self, body: wire.Body) -> ToolResult:
        try:
            return fusion.result_from_body(body, self._limits)
        except fusion.Spoilt as error:
            raise Undelivered(f"it could not run a snippet: {error}") from error
