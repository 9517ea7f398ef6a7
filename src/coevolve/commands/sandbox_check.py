"""``coevolve sandbox check``: may model-written code run here, what holds it back, and how quick it is."""

from __future__ import annotations

import json
import warnings
from contextlib import closing
from dataclasses import asdict, dataclass, field
from time import perf_counter

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.commands.sandbox_run import open_alone
from coevolve.config import SandboxSection
from coevolve.errors import CoevolveError, SandboxInfraError, SandboxUnavailable
from coevolve.sandbox import selftest
from coevolve.sandbox.base import Tool
from coevolve.sandbox.layers import ABSENT, MISSING, ON, REQUIRED
from coevolve.sandbox.pool import SandboxPool

_TIMES = 200
_CPU_S, _WALL_S = 0.2, 0.4  # waiting for the limits of a run would take long


@dataclass(slots=True)
class Findings:
    """What was found before, if anything, forbade to go on.

    Args:
        layers: what confines snippets, and what is in force of it.
        probes: what a snippet tried against them; a server does not tell.
        milliseconds: what was measured, by name.
        refusal: why model code may not run here; None when it may.
    """

    layers: dict[str, str] = field(default_factory=dict)
    probes: tuple[selftest.Finding, ...] = ()
    milliseconds: dict[str, float] = field(default_factory=dict)
    refusal: CoevolveError | None = None


def check(box: SandboxSection, *, as_json: bool) -> None:
    """Print what is found; ends with exit code 1 when model code may not run here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of unsafe, which the last line says as well
        found = examine(box)
    if as_json:
        print(json.dumps(_as_data(found)))
    else:
        _print(Console(), found, unsafe=box.unsafe)
    if found.refusal:
        if not as_json:
            raise found.refusal
        raise typer.Exit(found.refusal.exit_code)


def examine(box: SandboxSection) -> Findings:
    """Open the sandbox as a run would, then use it."""
    found = Findings()
    try:
        _use(box, found)
    except (SandboxUnavailable, SandboxInfraError) as error:
        found.refusal = error
        if not found.layers:
            _look_regardless(box, found)
    return found


def look(box: SandboxSection) -> Findings:
    """The layers that a run would have, and why it would be refused; nothing is timed."""
    found = Findings()
    try:
        with closing(open_alone(box)) as tool:
            _look(tool, found)
    except (SandboxUnavailable, SandboxInfraError) as error:
        found.refusal = error
        _look_regardless(box, found)
    return found


def _use(box: SandboxSection, found: Findings) -> None:
    times = found.milliseconds
    begin = perf_counter()
    with closing(open_alone(box, sessions=1)) as tool:
        times["start"] = (perf_counter() - begin) * 1e3
        _look(tool, found)
        for package in ("", *(name for name in box.preload if name in selftest.ONE_LINERS)):
            spread = selftest.snippets(tool, package, _TIMES)
            times[f"{package or 'print'}_p50"], times[f"{package or 'print'}_p99"] = spread.p50_ms, spread.p99_ms
        times["session_cell_p50"] = selftest.cells(tool, _TIMES).p50_ms
    if box.backend == "remote":
        return  # a server has its own limits
    with closing(open_alone(_with(box, wall_s=_WALL_S))) as tool:
        times["kill_after_wall_deadline"] = selftest.late_by_wall(tool, _WALL_S)
    with closing(open_alone(_with(box, cpu_s=_CPU_S, wall_s=100 * _CPU_S))) as tool:
        times["kill_after_cpu_limit"] = selftest.late_by_cpu(tool, _CPU_S)


def _with(box: SandboxSection, **values: object) -> SandboxSection:
    """Some keys changed."""
    return box.model_copy(update=values)


def _look(tool: Tool, found: Findings) -> None:
    found.layers = dict(tool.layers)
    found.probes = tool.findings if isinstance(tool, SandboxPool) else ()


def _look_regardless(box: SandboxSection, found: Findings) -> None:
    """What there is of layers where a run would be refused; the probes do no harm. Nothing on systems without any."""
    try:
        with closing(open_alone(_with(box, unsafe=True))) as tool:
            _look(tool, found)
            found.layers.pop("unsafe", None)
    except (SandboxUnavailable, SandboxInfraError):
        return


def _as_data(found: Findings) -> dict[str, object]:
    refusal = found.refusal
    return {
        "ok": refusal is None,
        "layers": {
            name: {"on": state.startswith(ON), "required": name in REQUIRED, "state": state}
            for name, state in found.layers.items()
        },
        "probes": [asdict(probe) for probe in found.probes],
        "latency_ms": {name: round(value, 3) for name, value in found.milliseconds.items()},
        "refusal": refusal and {"what": refusal.what, "where": refusal.where, "fix": refusal.fix},
    }


def _print(console: Console, found: Findings, *, unsafe: bool) -> None:
    layers = _table("layer", "", "state")
    for name, state in found.layers.items():
        kind = "required" if name in REQUIRED else "optional" if state.startswith((ON, ABSENT)) else ""
        layers.add_row(name, kind, Text(state, "red" if state.startswith(MISSING) else ""))
    probes = _table("a snippet tries to", "refused by", "")
    for probe in found.probes:
        says = Text(f"ok, {probe.detail}") if probe.passed else Text(f"NOT REFUSED, {probe.detail}", "red")
        probes.add_row(probe.name, probe.layer, says)
    times = _table("latency, now", "ms")
    times.columns[1].justify = "right"
    for name, value in found.milliseconds.items():
        times.add_row(name.replace("_", " "), f"{value:.2f}")
    for table in (layers, probes, times):
        if table.rows:
            console.print(table)
            console.print()
    if unsafe:
        console.print(Text("sandbox.unsafe: model code runs with whatever is on above", style="red"))
    elif not found.refusal:
        console.print("model code may run here")


def _table(*headings: str) -> Table:
    return Table(*headings, box=None, padding=(0, 2, 0, 0), header_style="bold")
