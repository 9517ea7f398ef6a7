"""``coevolve serve``: an agent with its tool behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from coevolve.errors import ConfigError
from coevolve.runs.answerer import Answerer, of_target
from coevolve.runs.base_model import check_same_base
from coevolve.system import http_url, is_loopback

if TYPE_CHECKING:
    from coevolve.serving.app import Service
    from coevolve.serving.shown import Show

TOKEN_VARIABLE = "COEVOLVE_TOKEN"
_SHORTEST_TOKEN = 16
_EVERY_ADDRESS = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """The options of the command; see ``coevolve serve --help``."""

    target: str
    host: str
    port: int
    token: str | None
    name: str | None
    show: Show
    system: Literal["refuse", "ignore"]
    queue: int
    deadline_s: float
    grace_s: float
    preset: str | None
    prompts: str | None
    tool: bool
    overrides: list[str]


def serve(request: ServeRequest) -> None:
    """Serve until a signal.

    Raises:
        ConfigError: starlette or uvicorn is missing, an option cannot be used, or the address.
        CoevolveError: the run, the model, the engine or the sandbox cannot be used.
    """
    _require_packages()
    token = _token(request.token, request.host)
    from coevolve.serving.app import Options
    from coevolve.serving.life import bound
    from coevolve.serving.life import serve as serve_until_stopped

    listening = bound(request.host, request.port, token)
    try:
        answerer = of_target(
            request.target,
            preset=request.preset,
            prompts=request.prompts,
            tool=request.tool,
            overrides=request.overrides,
        )
        check_same_base(answerer.known_base, answerer.base)
        options = Options(
            name=request.name or answerer.name,
            token=token,
            show=request.show,
            system=request.system,
            deadline_s=request.deadline_s,
        )
        console, port = Console(), listening.getsockname()[1]

        def announce(service: Service) -> None:
            lines = _stopping(service) if service.stopping else _ready(service, answerer, request, token, port)
            for line in lines:
                console.print(f" {line}", highlight=False, markup=False, soft_wrap=True)

        asyncio.run(
            serve_until_stopped(
                answerer,
                options,
                listening,
                places=request.queue,
                grace_s=request.grace_s,
                announce=announce,
            )
        )
    finally:
        listening.close()


def _require_packages() -> None:
    """
    Raises:
        ConfigError: starlette or uvicorn is not installed.
    """
    try:
        import starlette
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the server needs the package {error.name}, which is not installed",
            fix="pip install 'coevolve[serve]'",
        ) from None
    del starlette


def _token(given: str | None, host: str) -> str | None:
    """The token that requests must bear: the one that was given, or a new one where other machines can ask.

    Raises:
        ConfigError: it can be guessed, or no header can hold it.
    """
    where = f"--token, or the environment variable {TOKEN_VARIABLE}"
    token = os.environ.get(TOKEN_VARIABLE) if given is None else given
    fix = "make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
    if token is None:
        return None if is_loopback(host) else secrets.token_urlsafe(24)
    if len(token) < _SHORTEST_TOKEN:
        what = f"the token has {len(token)} characters, and fewer than {_SHORTEST_TOKEN} can be guessed"
        raise ConfigError(what, where=where, fix=fix)
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError("the token holds what no header can hold", where=where, fix=fix)
    return token


def _ready(service: Service, answerer: Answerer, request: ServeRequest, token: str | None, port: int) -> list[str]:
    shown = socket.gethostname() if request.host in _EVERY_ADDRESS else request.host
    url, name = f"{http_url(shown, port)}/v1", service.options.name
    has_tool = answerer.config.has_tool(answerer.agent)
    layers = "; ".join(f"{layer} {state}" for layer, state in service.engine.layers.items())
    lines = [f"serving {name}   {url}", f"tool: {layers if has_tool else 'none'}"]
    if token is not None and request.token is None and TOKEN_VARIABLE not in os.environ:
        lines += [f"token: {token}   (Authorization: Bearer TOKEN, in most clients the API key)"]
    if not is_loopback(request.host):
        lines += ["whoever has the token can ask, and the connection is not encrypted"]
    bearer = "" if token is None else " -H 'Authorization: Bearer TOKEN'"
    question = '{"messages": [{"role": "user", "content": "..."}]}'
    lines += [f"try: curl {url}/chat/completions{bearer} -H 'Content-Type: application/json' -d '{question}'"]
    return [*lines, "Ctrl-C finishes what is in flight and ends; a second one ends at once"]


def _stopping(service: Service) -> list[str]:
    n = service.handled
    return [f"finishing {n} request{'s' if n != 1 else ''}; a second signal ends at once" if n else "stopped"]
