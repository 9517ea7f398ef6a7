"""Starting and resuming runs from a program."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from coevolve.api.keys import layer
from coevolve.api.stored import Run
from coevolve.errors import ConfigError
from coevolve.methods.registry import load_config
from coevolve.monitor.progress import Progress, progress_for
from coevolve.system import let_waiting_threads_sleep


def run(
    method: str | type[Any] | None = None,
    preset: str | None = None,
    *,
    config: str | os.PathLike[str] | None = None,
    quiet: bool = False,
    began: Callable[[Path], None] = lambda folder: None,
    **keys: object,
) -> Run:
    """Co-evolve both agents from the base model, as ``coevolve run`` does: equal keys give equal bytes.

    Args:
        method: agent0 (default), r-zero, ..., or a class of one's own.
        preset: mini (default), nano, qwen3-4b-1gpu, ...; None: that of ``config``, of the model or of the method.
        config: a YAML file over the preset.
        quiet: show no progress.
        began: told the folder as soon as there is one.
        keys: any key of the configuration over all: ``seed=1``, ``run={"dir": path}``,
            ``**{"reward.lambda_tool": 0, "reward.extra": my_ideas.brevity}``.

    Raises:
        ConfigError: an unknown key, a value that is not allowed, an impossible combination.
        CoevolveError: whatever else makes the run impossible; what was finished stays in its folder.
    """
    from coevolve.runs import driver

    name = method if method is None or isinstance(method, str) else f"{method.__module__}:{method.__qualname__}"
    layers = [layer(keys, "coevolve.run(...)")]
    resolved = load_config(preset, Path(config) if config else None, method=name, layers=layers)
    if resolved.run.seeds:
        raise ConfigError(
            "one call is one run, and run.seeds are several",
            where="coevolve.run(...)",
            fix="one call per seed: [coevolve.run(..., seed=s) for s in (0, 1, 2)]",
        )
    let_waiting_threads_sleep()
    with shown(quiet=quiet) as progress:
        found = Run(driver.start(resolved, progress, began))
    found.report()
    return found


def resume(path: Path, *, quiet: bool = False) -> None:
    """Go on with a run, and write its page anew.

    Raises:
        CoevolveError: whatever makes it impossible.
    """
    from coevolve.runs import driver

    let_waiting_threads_sleep()
    with shown(quiet=quiet) as progress:
        driver.resume(path, progress)
    Run(path).report()


@contextmanager
def shown(*, quiet: bool) -> Iterator[Progress]:
    """What the block tells is shown on a terminal or line by line, or not at all."""
    progress = progress_for(Console(), quiet=quiet)
    try:
        yield progress
    finally:
        progress.close()
