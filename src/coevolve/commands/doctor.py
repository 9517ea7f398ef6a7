"""``coevolve doctor RUN``: what is intact in a run folder, what resume would do, and the way back."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import typer

from coevolve.runs.doctor import Diagnosis, Start, diagnose, repair


def run(path: Path, *, mend: bool, as_json: bool) -> None:
    """Print what was found; with ``mend`` step back first. The exit code is 1 while something is damaged."""
    moved = repair(path) if mend else []
    found = diagnose(path)
    if as_json:
        print(json.dumps(_content(found, moved)))
    else:
        for line in _lines(found, moved):
            print(line)
    if found.damage or found.base_fault:
        raise typer.Exit(1)


def _content(found: Diagnosis, moved: list[Path]) -> dict[str, object]:
    """The same as one object with stable keys."""
    return {
        "run": str(found.run),
        "status": found.status,
        "older": found.older,
        "intact": not found.damage,
        "files": _counts(found),
        "damage": [{"file": one.file, "kind": one.kind, "fault": one.fault} for one in found.damage],
        "writer": found.writer,
        "free_bytes": found.free_bytes,
        "base_fault": found.base_fault,
        "resume": asdict(found.start) if found.start and not found.older else None,
        "after_repair": asdict(found.repaired) if found.repaired else None,
        "moved": [str(path) for path in moved],
    }


def _counts(found: Diagnosis) -> dict[str, dict[str, int]]:
    """Files (or lines of a phase) by kind: how many are intact, of how many."""
    hurt = Counter(one.kind for one in found.damage)
    every = Counter(one.kind for one in found.findings)
    return {kind: {"intact": number - hurt[kind], "of": number} for kind, number in every.items()}


def _lines(found: Diagnosis, moved: list[Path]) -> list[str]:
    counts = ", ".join(f"{kind} {n['intact']}/{n['of']}" for kind, n in _counts(found).items())
    out = [
        f"run       {found.run}   {found.status or 'unknown'}",
        f"writer    {f'process {found.writer}' if found.writer else 'none'}",
        f"disk      {found.free_bytes / 1e9:.1f} GB free",
        f"base      {found.base_fault or 'the model that the run began with'}",
        f"intact    {counts}",
        *(f"damaged   {one.file}: {one.fault}" for one in found.damage),
        *(f"moved     {path}" for path in moved),
    ]
    if found.older and not found.damage:
        return [*out, f"resume    refused: {found.older}"]
    if found.start:
        return [*out, f"resume    {_begin(found.start)}"]
    if found.repaired is None:
        fix = f"coevolve run --config {found.run}/config.yaml --set run.dir=NEW"
        return [*out, "resume    impossible: nothing says any more what counts", f"fix       make it again: {fix}"]
    return [
        *out,
        "resume    refused while something is damaged",
        f"fix       coevolve doctor {found.run} --repair   nothing is deleted; then resume {_begin(found.repaired)}",
    ]


def _begin(start: Start) -> str:
    if start.phase is None:
        return "has nothing to do: everything is finished"
    if start.step:
        return f"begins in {start.phase}, after step {start.step} of {start.steps}"
    if start.batches:
        return f"begins in {start.phase}, with {start.batches} finished batches of trajectories"
    return f"begins at the start of {start.phase}"
