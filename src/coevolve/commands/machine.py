"""``coevolve doctor`` without a run: what this machine has, and whether the default run works on it."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import coevolve
from coevolve.commands.sandbox_check import Findings, look
from coevolve.config.loading import preset_names
from coevolve.engine.planning.devices import Gpu, gpus, has_mps, why_no_gpu
from coevolve.errors import CoevolveError
from coevolve.methods.registry import load_config
from coevolve.runs import machine
from coevolve.runs.estimate import Suitability, suitability
from coevolve.runs.existing import RUNS
from coevolve.runs.machine import Extra, Package
from coevolve.runs.speed import with_time
from coevolve.system import usable_cores

T = TypeVar("T")
LEAST_DISK = 200_000_000  # bytes; a run of the default preset keeps about a tenth of it
_TORCH = "pip install torch   (the way for your system: pytorch.org)"


@dataclass(slots=True)
class Machine:
    """Everything that was looked at, and what stands in the way of the default run."""

    packages: list[Package]
    extras: list[Extra]
    gpus: list[Gpu]
    no_gpu: str
    mps: bool
    memory: int
    disk: int
    sandbox: Findings
    presets: list[Suitability] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)


def run(preset: str | None, *, as_json: bool) -> None:
    """Print what was found; the exit code is 1 when the default run cannot work here, or the preset that was named.

    Raises:
        ConfigError: there is no preset of this name.
    """
    if preset is not None:
        load_config(preset)
    found = examine()
    if not found.obstacles:  # with them nothing else works either
        first = found.gpus[0] if found.gpus else None
        names = [preset] if preset else preset_names()
        found.presets = [suitability(name, first, found.memory, found.disk) for name in names]
        if preset and not found.presets[0].obstacle:
            found.presets = [with_time(found.presets[0])]
    if as_json:
        print(json.dumps(_content(found)))
    else:
        _print(Console(), found)
    if found.obstacles or (preset and found.presets[0].obstacle):
        raise typer.Exit(1)


def examine() -> Machine:
    """Look at packages, devices, sandbox and room."""
    requirements = machine.own_requirements()
    packages = machine.packages(requirements, machine.pinned_versions())
    broken = [_lack(package) for package in packages if not package.fits]
    # A torch that is missing or does not start is a finding, not an end.
    nothing: list[Gpu] = []
    found, fault = _with_torch(gpus, nothing)
    no_gpu = fault or ("" if found else why_no_gpu())
    mps, _ = _with_torch(has_mps, False)
    if fault:
        broken.append(fault)
    sandbox = look(load_config().sandbox)
    if sandbox.refusal is not None:
        broken.append(f"model code may not run here: {sandbox.refusal.what}   {sandbox.refusal.fix}")
    disk = machine.free_disk(RUNS)
    if disk < LEAST_DISK:
        broken.append(f"only {disk / 1e6:.0f} MB of disk are free; a run needs {LEAST_DISK / 1e6:.0f}")
    broken += _fault_of_base()
    return Machine(
        packages=packages,
        extras=machine.extras(requirements),
        gpus=found,
        no_gpu=no_gpu,
        mps=mps,
        memory=machine.memory_bytes(),
        disk=disk,
        sandbox=sandbox,
        obstacles=broken,
    )


def _with_torch(ask: Callable[[], T], without: T) -> tuple[T, str]:
    """What torch says, and why it says nothing."""
    try:
        return ask(), ""
    except (ImportError, OSError, RuntimeError) as error:
        return without, f"torch does not start: {error}   {_TORCH}"


def _lack(package: Package) -> str:
    state = f"{package.installed} is installed" if package.installed else "it is missing"
    return f"{package.name}{package.required} is needed, {state}   pip install '{package.name}{package.required}'"


def _fault_of_base() -> list[str]:
    """What is wrong with the base model that the default run begins with."""
    from coevolve.runs.base_model import base_model
    from coevolve.worlds.registry import open_world

    try:
        base_model(open_world(load_config().world_settings))
    except CoevolveError as error:
        return [str(error).replace("\n", "  ")]
    return []


def _content(found: Machine) -> dict[str, object]:
    """The same as one object with stable keys."""
    return {
        "ok": not found.obstacles,
        "obstacles": found.obstacles,
        "coevolve": coevolve.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": usable_cores(),
        "memory_bytes": found.memory,
        "free_disk_bytes": found.disk,
        "packages": [asdict(p) | {"fits": p.fits, "is_tested": p.is_tested} for p in found.packages],
        "extras": [{"name": e.name, "missing": list(e.missing), "command": e.command} for e in found.extras],
        "gpus": [asdict(gpu) for gpu in found.gpus],
        "no_gpu": found.no_gpu or None,
        "mps": found.mps,
        "presets": [asdict(one) | {"works": not one.obstacle} for one in found.presets],
        "sandbox": {"ok": found.sandbox.refusal is None, "layers": found.sandbox.layers},
    }


def _print(console: Console, found: Machine) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, says, bad in _lines(found):
        table.add_row(name, Text(says, "red" if bad else ""))
    console.print(table)
    console.print()
    if found.presets:
        _print_presets(console, found.presets)
    for obstacle in found.obstacles:
        console.print(Text(f"in the way   {obstacle}", "red"), soft_wrap=True)
    if not found.obstacles:
        console.print("the default run works here: coevolve run agent0", highlight=False)


def _print_presets(console: Console, presets: list[Suitability]) -> None:
    table = Table("preset", "needs", "here", box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.columns[0].no_wrap = True
    for one in presets:
        table.add_row(one.preset, one.needs, Text(one.obstacle or "works", "" if one.obstacle else "green"))
    console.print(table)
    console.print()


def _lines(found: Machine) -> list[tuple[str, str, bool]]:
    """Name, finding, and whether it is bad."""
    sizes = f"{usable_cores()} cores, {found.memory / 1e9:.1f} GB of memory, {found.disk / 1e9:.1f} GB of disk free"
    out = [
        ("machine", f"{platform.system()} {platform.machine()}, {sizes}", found.disk < LEAST_DISK),
        ("coevolve", f"{coevolve.__version__} on Python {platform.python_version()}", False),
    ]
    out += [("package", _of_package(p), not p.fits) for p in found.packages if not (p.fits and p.is_tested)]
    if not found.packages:
        out.append(("packages", "unknown: coevolve was not installed as a package", False))
    good = [f"{p.name} {p.installed}" for p in found.packages if p.fits and p.is_tested]
    out += [("packages", ", ".join(good), False)] if good else []
    for number, gpu in enumerate(found.gpus):
        precision = "" if gpu.bfloat16 else ", without bfloat16"
        says = f"{gpu.name}, {gpu.total / 1e9:.1f} GB, {gpu.free / 1e9:.1f} GB of it free{precision}"
        out.append((f"cuda:{number}", says, False))
    if not found.gpus:
        out.append(("cuda", f"none: {found.no_gpu}", False))
    out.append(("mps", "there is an Apple GPU; coevolve runs on CPU or CUDA" if found.mps else "none", False))
    for extra in found.extras:
        lacks = f"missing ({', '.join(extra.missing)})   {extra.command}"
        out.append((f"extra {extra.name}", lacks if extra.missing else "there", False))
    layers = ", ".join(f"{name} {state.partition(':')[0]}" for name, state in found.sandbox.layers.items())
    refused = found.sandbox.refusal is not None
    out.append(("sandbox", f"{'model code may NOT run' if refused else 'model code may run'} here: {layers}", refused))
    return out


def _of_package(package: Package) -> str:
    if not package.fits:
        return _lack(package)
    return f"{package.name} {package.installed} fits ({package.required}); the tests ran with {package.tested}"
