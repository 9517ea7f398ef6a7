"""``coevolve sandbox check``: may model-written code run here, what holds it back, and how quick it is."""

from __future__ import annotations

import json
import warnings
from contextlib import closing
from dataclasses import dataclass, field
from time import perf_counter

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.commands.sandbox_run import open_alone
from coevolve.config import Config
from coevolve.errors import CoevolveError, SandboxInfraError, SandboxUnavailable
from coevolve.sandbox import latency
from coevolve.sandbox.layers import MISSING, ON, REQUIRED

_TIMES = 200
_SHORT = {"cpu_s": 0.2, "wall_s": 0.4}  # waiting for the deadlines of a run would take long


@dataclass(slots=True)
class Findings:
    """What was found before, if anything, forbade to go on.

    Args:
        layers: what confines snippets, and what is in force of it.
        milliseconds: what was measured, by name.
        refusal: why model code may not run here; None when it may.
    """

    layers: dict[str, str] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    refusal: CoevolveError | None = None


def check(config: Config, *, as_json: bool) -> None:
    """Print what is found; ends with exit code 1 when model code may not run here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of unsafe, which the last line says as well
        found = examine(config)
    if as_json:
        print(json.dumps(_as_data(found)))
    else:
        _print(Console(), found, unsafe=config.sandbox.unsafe)
    if found.refusal:
        if not as_json:
            raise found.refusal
        raise typer.Exit(found.refusal.exit_code)


def examine(config: Config) -> Findings:
    """Open the sandbox as a run would, then use it."""
    found = Findings()
    try:
        _use(config, found)
    except (SandboxUnavailable, SandboxInfraError) as error:
        found.refusal = error
        if not found.layers:
            found.layers = _layers_without_refusal(config)
    return found


def _use(config: Config, found: Findings) -> None:
    times = found.milliseconds
    begin = perf_counter()
    with closing(open_alone(config, sessions=1)) as tool:
        times["start"] = (perf_counter() - begin) * 1e3
        found.layers = dict(tool.layers)
        for package in ("", *(name for name in config.sandbox.preload if name in latency.ONE_LINERS)):
            spread = latency.snippets(tool, package, _TIMES)
            times[f"{package or 'print'}_p50"], times[f"{package or 'print'}_p99"] = spread.p50_ms, spread.p99_ms
        times["session_cell_p50"] = latency.cells(tool, _TIMES).p50_ms
    if config.sandbox.backend == "remote":
        return  # a server has its own limits
    hasty = config.model_copy(update={"sandbox": config.sandbox.model_copy(update=_SHORT)})
    with closing(open_alone(hasty)) as tool:
        times["kill_after_wall_deadline"] = latency.late_by_wall(tool, _SHORT["wall_s"])
        times["kill_after_cpu_limit"] = latency.late_by_cpu(tool, _SHORT["cpu_s"])


def _layers_without_refusal(config: Config) -> dict[str, str]:
    """What the layers say of themselves where a run would be refused; nothing on systems that have none."""
    lenient = config.model_copy(update={"sandbox": config.sandbox.model_copy(update={"unsafe": True})})
    try:
        with closing(open_alone(lenient)) as tool:
            return dict(tool.layers)
    except (SandboxUnavailable, SandboxInfraError):
        return {}


def _as_data(found: Findings) -> dict[str, object]:
    refusal = found.refusal
    return {
        "ok": refusal is None,
        "layers": {
            name: {"on": state.startswith(ON), "required": name in REQUIRED, "state": state}
            for name, state in found.layers.items()
        },
        "latency_ms": {name: round(value, 3) for name, value in found.milliseconds.items()},
        "refusal": refusal and {"what": refusal.what, "where": refusal.where, "fix": refusal.fix},
    }


def _print(console: Console, found: Findings, *, unsafe: bool) -> None:
    layers = Table("layer", "", "state", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, state in found.layers.items():
        style = "red" if state.startswith(MISSING) else ""
        layers.add_row(name, "required" if name in REQUIRED else "optional", Text(state, style))
    times = Table("latency, now", "ms", box=None, padding=(0, 2, 0, 0), header_style="bold")
    times.columns[1].justify = "right"
    for name, value in found.milliseconds.items():
        times.add_row(name.replace("_", " "), f"{value:.2f}")
    for table in (layers, times):
        if table.rows:
            console.print(table)
            console.print()
    if unsafe:
        console.print(Text("sandbox.unsafe: model code runs with whatever is on above", style="red"))
    elif not found.refusal:
        console.print("model code may run here")
