"""``coevolve eval``: measure, and show what comes of it."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from functools import partial

from rich.console import Console

from coevolve.commands import faults
from coevolve.commands.measured import Watching, print_listing, print_result
from coevolve.harness import results
from coevolve.harness.request import EvalRequest, measure
from coevolve.suites import registry

_WIDTH = 120  # of a pipe, in characters


def list_all(*, as_json: bool) -> None:
    """``--list``: everything that ``--suite`` knows by name."""
    if as_json:
        print(json.dumps([asdict(one) for one in registry.listing()]))
    else:
        print_listing(Console(), registry.listing())


def run(request: EvalRequest, *, quiet: bool, as_json: bool) -> None:
    """Measure a target, or go on with measuring it.

    Raises:
        CoevolveError: whatever makes it impossible; what was answered is kept.
    """
    again = shlex.join(["coevolve", *sys.argv[1:]])
    found = measure(
        request,
        Watching(_console(), quiet=quiet, mute=as_json),
        go_on=again,
        note=lambda text: print(f"note: {text}", file=sys.stderr),
        began=partial(faults.goes_on_with, again),
    )
    if as_json:
        print(results.to_json(found.result), end="")
    else:
        print_result(_console(), found.result, list(found.suites), found.folder)


def _console() -> Console:
    """As wide as the terminal; where there is none, wide enough for the table."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)
