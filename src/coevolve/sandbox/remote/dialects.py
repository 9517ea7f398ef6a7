"""The protocols a client can speak (our own and SandboxFusion's), and the handshake at start. A dialect makes the
request for one snippet and reads the answer. :class:`Terms` checks that the server offers what the run's configuration
asks for.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Protocol

from coevolve.errors import SandboxUnavailable
from coevolve.sandbox import selftest
from coevolve.sandbox.base import Limits, ToolResult
from coevolve.sandbox.remote import fusion, wire
from coevolve.sandbox.remote.courier import Undelivered
from coevolve.sandbox.remote.wire import Health

_LARGEST_FUSION = 32 << 20  # such a server truncates its output late or not at all


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
            Malformed: it is not a valid answer.
            Undelivered: the server says that it could not run the snippet.
        """
        ...


class Native:
    """That of ``coevolve sandbox serve``."""

    path = wire.RUN

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.largest = limits.output_bytes * wire.BYTES_PER_CHARACTER + wire.LARGEST_ENVELOPE

    def message(self, code: str) -> dict[str, object]:
        return {"code": code}

    def result(self, body: wire.Body) -> ToolResult:
        return wire.result_from_body(body, self._limits)


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
            raise Undelivered(f"it could not run a snippet: {error}", answered=True) from error


_OPTION = {"cpu_s": "--cpu", "wall_s": "--wall", "memory_mb": "--memory", "output_bytes": "--output"}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run's configuration asks of a server.

    Args:
        limits: that every snippet must have.
        preload: packages that snippets must be able to import, and no others.
        unsafe: accept a server that lacks a layer.
        sessions: how many will be open at once; 0 for none.
    """

    limits: Limits
    preload: tuple[str, ...]
    unsafe: bool
    sessions: int

    def agreed(self, health: Health, url: str) -> dict[str, str]:
        """Compare a server with them; returns the layers for the run's manifest, and which server it is.

        Limits and packages decide how a snippet ends, so the server must have those of the run's configuration.

        Args:
            health: what the server reports about itself.
            url: of the server.

        Raises:
            SandboxUnavailable: the server differs.
        """
        theirs, ours = asdict(health.limits), asdict(self.limits)
        options = [f"{_OPTION[key]} {ours[key]:g}" for key in _OPTION if theirs[key] != ours[key]]
        if set(health.preload) != set(self.preload):
            options.append(f"""--preload {",".join(self.preload) or "''"}""")
        if health.sessions < self.sessions:
            options.append(f"--sessions {self.sessions}")
        if options:
            raise SandboxUnavailable(
                "The sandbox server gives snippets something else than this configuration.",
                where=f"{url}: {_told(health)}",
                fix=f"start it with {' '.join(options)}, or change the keys of section sandbox",
            )
        lacking = selftest.missing(health.layers)
        if lacking and not self.unsafe:
            raise SandboxUnavailable(
                f"The sandbox server runs snippets without {', '.join(f'{k} ({v})' for k, v in lacking.items())}.",
                where=url,
                fix="serve from a machine that has it; with sandbox.unsafe=true this one is used as it is",
            )
        about = ", ".join(f"{name} {version}" for name, version in health.versions.items())
        return {**health.layers, "server": f"{url} ({about})"}


def _told(health: Health) -> str:
    facts = {key: value for key, value in asdict(health.limits).items() if key in _OPTION}
    facts |= {"preload": ",".join(health.preload) or "none", "sessions": health.sessions}
    return ", ".join(f"{key} {value}" for key, value in facts.items())
