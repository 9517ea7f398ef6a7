"""What a client is told that gets no answer: OpenAI's error objects."""

from __future__ import annotations

INVALID, AUTHENTICATION, NOT_FOUND = "invalid_request_error", "authentication_error", "not_found_error"
BUSY, UNAVAILABLE, FAULT, LATE = "rate_limit_error", "service_unavailable_error", "server_error", "timeout_error"


class Refusal(Exception):
    """A request that gets an error for an answer.

    Args:
        message: what is wrong and what to do about it.
        status: of HTTP.
        kind: ``type`` of the error object.
        param: the field of the request at fault.
        code: by which a program tells it from others.
        after_s: when it may be sent again.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.after_s = status, after_s
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


def lost(message: str) -> Refusal:
    """The engine or its sandbox failed this request; the next attempt may succeed."""
    return unavailable(message, code="lost")


def unavailable(message: str, code: str) -> Refusal:
    """Not now."""
    return Refusal(message, status=503, kind=UNAVAILABLE, code=code, after_s=1)
