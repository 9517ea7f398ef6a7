"""From the configuration to the tool it asks for: a local pool, or one or several servers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from coevolve.config import SandboxSection
from coevolve.errors import SandboxUnavailable
from coevolve.sandbox.base import Limits, Tool

if TYPE_CHECKING:
    from coevolve.sandbox.pool import SandboxPool

TOKEN_VARIABLE = "COEVOLVE_SANDBOX_TOKEN"  # the only place for it: a configuration is kept in the run folder


def open_tool(sandbox: SandboxSection, *, cache: int, sessions: int, sharing: int = 1) -> Tool:
    """The tool of one rollout worker.

    Args:
        sandbox: where snippets run and what they may use.
        cache: how many results are remembered; 0 for none.
        sessions: how many sessions will be open at once; 0 for none.
        sharing: how many rollout workers like this one will use the same servers.

    Raises:
        SandboxUnavailable: this machine cannot confine snippets, or the server cannot be used.
        SandboxInfraError: the sandbox does not start.
        ConfigError: so many sessions need more open files than this process may have.
    """
    if sandbox.backend == "local":
        return open_pool(sandbox, cache=cache, sessions=sessions)
    require_aiohttp()
    from coevolve.sandbox.remote.client import RemoteTool

    return RemoteTool(
        *sandbox.addresses,
        token=os.environ.get(TOKEN_VARIABLE) or None,
        sandboxfusion=sandbox.dialect == "sandboxfusion",
        limits=limits_of(sandbox),
        preload=tuple(sandbox.preload),
        unsafe=sandbox.unsafe,
        sessions=sessions * sharing,
        requests=sandbox.requests,
        patience_s=sandbox.patience_s,
        cache_size=cache,
    )


def require_tool(sandbox: SandboxSection) -> None:
    """See that what a run's sandbox needs on this machine is there, before any model is loaded; starts nothing.

    The folder of packages for snippets is built here if it is not there yet.

    Raises:
        SandboxUnavailable: a package is missing, or the folder of packages cannot be used or built.
    """
    if sandbox.backend != "local":
        require_aiohttp()
        return
    from coevolve.sandbox.environment import folder_for

    folder_for(tuple(sandbox.preload), sandbox.environment)


def require_aiohttp() -> None:
    """Say how to install what the remote sandbox needs, before anything imports it.

    Raises:
        SandboxUnavailable: aiohttp is not installed.
    """
    try:
        import aiohttp  # noqa: F401
    except ModuleNotFoundError:
        raise SandboxUnavailable(
            "The remote sandbox needs the package aiohttp, which is not installed.",
            fix="pip install 'coevolve[remote]'",
        ) from None


def open_pool(sandbox: SandboxSection, *, cache: int, sessions: int) -> SandboxPool:
    """The pool of this machine; see :func:`open_tool`."""
    from coevolve.sandbox.pool import SandboxPool

    return SandboxPool(
        limits=limits_of(sandbox),
        workers=sandbox.workers,
        preload=tuple(sandbox.preload),
        environment=sandbox.environment,
        namespaces=sandbox.namespaces == "auto",
        unsafe=sandbox.unsafe,
        cache_size=cache,
        max_sessions=sessions,
        session_idle_s=sandbox.session_idle_s,
    )


def limits_of(sandbox: SandboxSection) -> Limits:
    """What one snippet may use."""
    return Limits(
        cpu_s=sandbox.cpu_s,
        wall_s=sandbox.wall_s,
        memory_mb=sandbox.memory_mb,
        output_bytes=sandbox.output_bytes,
    )
