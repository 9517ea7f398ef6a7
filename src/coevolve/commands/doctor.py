"""``coevolve doctor RUN``: what is intact in a run folder, what resume would do, and the way back."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import typer

from coevolve.runs.doctor import Diagnosis, Repair, Start, diagnose, repair


def run(path: Path, *, mend: bool, as_json: bool) -> None:
    """Print what was found; with ``mend`` step back first. The exit code is 1 unless everything is intact."""
    done = repair(path, lambda plan: None if as_json else _announce(path, plan)) if mend else None
    found = diagnose(path)
    if as_json:
        print(json.dumps(_content(found, done)))
    else:
        for line in _lines(found, done):
            print(line)
    if found.damage or found.unreadable or found.base_fault:
        raise typer.Exit(1)


def _announce(path: Path, plan: Repair) -> None:
    for line in (f"repair    of {path}, now:", *_steps(plan)):
        print(line, flush=True)


def _content(found: Diagnosis, done: Repair | None) -> dict[str, object]:
    """The same as one object with stable keys."""
    after = found.repair.start if found.repair else found.start
    return {
        "run": str(found.run),
        "status": found.status,
        "older": found.older,
        "intact": not found.damage and not found.unreadable,
        "files": _counts(found),
        "damage": [{"file": one.file, "kind": one.kind, "fault": one.fault} for one in found.damage],
        "unreadable": [
            {"file": one.file, "kind": one.kind, "fault": one.fault, "fix": one.access} for one in found.unreadable
        ],
        "writer": found.writer,
        "free_bytes": found.free_bytes,
        "base_fault": found.base_fault,
        "resume": asdict(found.start) if found.start and not found.older else None,
        "repair": _as_data(found.repair) if found.repair else None,
        "after_repair": asdict(after) if after else None,
        "moved": [str(done.aside / name) for name in (*done.copied, *done.moved)] if done else [],
    }


def _as_data(plan: Repair) -> dict[str, object]:
    return asdict(plan) | {"aside": str(plan.aside)}


def _counts(found: Diagnosis) -> dict[str, dict[str, int]]:
    """Files (or lines of a phase) by kind: how many are intact, of how many."""
    hurt = Counter(one.kind for one in (*found.damage, *found.unreadable))
    every = Counter(one.kind for one in found.findings)
    return {kind: {"intact": number - hurt[kind], "of": number} for kind, number in every.items()}


def _lines(found: Diagnosis, done: Repair | None) -> list[str]:
    counts = ", ".join(f"{kind} {n['intact']}/{n['of']}" for kind, n in _counts(found).items())
    return [
        f"run       {found.run}   {found.status or 'unknown'}",
        f"writer    {_writer(found)}",
        f"disk      {found.free_bytes / 1e9:.1f} GB free",
        f"base      {found.base_fault or 'the model that the run began with'}",
        f"intact    {counts}",
        *(f"damaged   {one.file}: {one.fault}" for one in found.damage),
        *(f"unread    {one.file}: {one.fault}" for one in found.unreadable),
        *(_moved(found.run, done) if done else []),
        *_way_on(found),
    ]


def _writer(found: Diagnosis) -> str:
    if found.writer is not None:
        return f"process {found.writer}"
    return "a process of another container or machine" if found.is_held else "none"


def _moved(run: Path, done: Repair) -> list[str]:
    files = [f"moved     {done.aside / name}" for name in (*done.copied, *done.moved)]
    return [*files, f"undo      before anything else: cp -a {done.aside}/. {run}/"]


def _way_on(found: Diagnosis) -> list[str]:
    """What resume would do, and what has to be done before it can."""
    if found.unreadable:
        return [
            "resume    refused: what cannot be read may be intact, so nothing here is to be repaired",
            *(f"fix       {fix}" for fix in dict.fromkeys(one.access for one in found.unreadable)),
        ]
    if found.older and not found.damage:
        return [f"resume    refused: {found.older}"]
    if found.start and found.repair is None:
        return [f"resume    {_begin(found.start)}"]
    if found.repair is None:
        fix = f"coevolve run --config {found.run}/config.yaml --set run.dir=NEW"
        return ["resume    impossible: nothing says any more what counts", f"fix       make it again: {fix}"]
    return [
        f"resume    {_begin(found.start) if found.start else 'refused while something is damaged'}",
        f"fix       coevolve doctor {found.run} --repair   deletes nothing, and would:",
        *_steps(found.repair),
    ]


def _steps(plan: Repair) -> list[str]:
    """What a repair does, a line each."""
    steps = []
    if plan.undone:
        span = plan.undone[0] if len(plan.undone) == 1 else f"{plan.undone[0]} to {plan.undone[-1]}"
        number = f"{len(plan.undone)} finished phase{'s' if len(plan.undone) > 1 else ''}"
        steps.append(f"count {number} no longer ({span}): resume does the work again")
    if plan.moved:
        steps.append(f"move {len(plan.moved)} file{'s' if len(plan.moved) > 1 else ''} to {plan.aside}")
    if plan.copied:
        steps.append(f"keep copies in {plan.aside} of {', '.join(plan.copied)}")
    steps += [f"cut {name} off after {end:,} bytes" for name, end in plan.shortened.items()]
    if plan.rewritten:
        steps.append(f"write {', '.join(plan.rewritten)} anew")
    steps.append(f"resume then {_begin(plan.start)}")
    return [f"          - {step}" for step in steps]


def _begin(start: Start) -> str:
    if start.phase is None:
        return "has nothing to do: everything is finished"
    if start.step:
        return f"begins in {start.phase}, after step {start.step} of {start.steps}"
    if start.batches:
        return f"begins in {start.phase}, with {start.batches} finished batches of trajectories"
    return f"begins at the start of {start.phase}"
