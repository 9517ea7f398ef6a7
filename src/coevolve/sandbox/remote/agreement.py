"""Whether a server is the one that a run asks for: the same limits and packages, and all layers in force."""

from __future__ import annotations

from dataclasses import asdict

from coevolve.errors import SandboxUnavailable
from coevolve.sandbox import selftest
from coevolve.sandbox.base import Limits
from coevolve.sandbox.remote.wire import Health

_OPTION = {"cpu_s": "--cpu", "wall_s": "--wall", "memory_mb": "--memory", "output_bytes": "--output"}


def agreed(
    health: Health, *, url: str, limits: Limits, preload: tuple[str, ...], unsafe: bool, sessions: int
) -> dict[str, str]:
    """The layers of a run's manifest: those of the server, and which server it is.

    What a snippet may use decides what comes of it, so the server must have what the run's configuration says.

    Raises:
        SandboxUnavailable: the server differs.
    """
    theirs, ours = asdict(health.limits), asdict(limits)
    options = [f"{_OPTION[key]} {ours[key]:g}" for key in _OPTION if theirs[key] != ours[key]]
    if set(health.preload) != set(preload):
        options.append(f"""--preload {",".join(preload) or "''"}""")
    if health.sessions < sessions:
        options.append(f"--sessions {sessions}")
    if options:
        raise SandboxUnavailable(
            "The sandbox server gives snippets something else than this configuration.",
            where=f"{url}: {_told(health)}",
            fix=f"start it with {' '.join(options)}, or change the keys of section sandbox",
        )
    lacking = selftest.missing(health.layers)
    if lacking and not unsafe:
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
