"""The one package that the remote sandbox needs beyond the others."""

from __future__ import annotations

from coevolve.errors import SandboxUnavailable


def require_aiohttp() -> None:
    """Say how to install what is missing, before anything imports it.

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
