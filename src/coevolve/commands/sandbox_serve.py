"""``coevolve sandbox serve``: the sandbox of this machine, for others."""

from __future__ import annotations

from pathlib import Path

from coevolve.config import SandboxSection
from coevolve.errors import ConfigError
from coevolve.sandbox.factory import require_aiohttp


def serve_sandbox(
    box: SandboxSection,
    *,
    host: str,
    port: int,
    workers: int,
    token_file: Path | None,
    queue: int,
    wait_s: float,
    sessions: int,
) -> None:
    """Serve with the limits, packages and walls of a configuration, until a signal.

    Raises:
        ConfigError: the configuration asks for a server itself, or others could reach this one without a token.
        SandboxUnavailable: no code may run on this machine, the address cannot be used, or aiohttp is missing.
    """
    if box.backend != "local":
        raise ConfigError("a server runs snippets itself", where="sandbox.backend = remote", fix="leave that key away")
    require_aiohttp()
    from coevolve.sandbox.remote.serving import ServerOptions, serve, token_from

    options = ServerOptions(
        host=host,
        port=port,
        sandbox=box.model_copy(update={"workers": workers}),
        queue=queue,
        wait_s=wait_s,
        sessions=sessions,
        token=token_from(token_file),
    )
    serve(options, lambda line: print(line, flush=True))
