"""The numbers of a run in one structure with stable keys, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from coevolve.evaluation.paired import suites_of_run
from coevolve.evaluation.phase import run_reports
from coevolve.methods.reporting import PhaseReport, Row, part_of
from coevolve.monitor.alarms import EVENT as ALARM
from coevolve.store import manifest, settings
from coevolve.store.records import RunRecords
from coevolve.store.trajectories import count_trajectories
from coevolve.worlds.base import SUITES

SCHEMA = 1  # of what follows: it grows when a key changes its meaning or goes, and stays when one is added
_TIMES = ("sample_s", "train_s", "tool_s", "grade_s", "store_s", "other_s")


def summarise(path: Path) -> dict[str, object]:
    """Everything that a run measured, also of a run in progress: what is not there (yet) is null.

    An iteration has the parts that the phases of the method report; of training it is the last step so far (``step`` of
    ``steps``). Iteration 0 is the base model, which is only measured. ``suites`` says what the chosen suites are and
    how the newest solver differs from the base model on each, problem by problem; what an evaluation found stands
    under the same key in its iteration. ``trajectories`` counts what finished phases stored, in ``total`` and
    ``by_phase``. All rates are fractions from 0 to 1, times are seconds, ``ci95`` is [low, high].

    Raises:
        RunError: the folder holds no run, or a damaged one.
    """
    folder = RunRecords.open(path)
    return logged(folder) | {"trajectories": count_trajectories(folder)}


def reports_of(run: Path) -> tuple[PhaseReport, ...]:
    """What the phases of a stored run report.

    Raises:
        RunError: the folder holds no run, or a damaged one.
    """
    return run_reports(settings.read(run, manifest.read(run)))


def logged(folder: RunRecords) -> dict[str, object]:
    """The part of the summary that stands in manifest and logs, read in no time however many trajectories there are.

    Raises:
        RunError: a log of the run is damaged.
    """
    rows, timings = folder.metrics(), folder.timings()
    config = folder.config
    reports = run_reports(config)
    whole = {key: part for report in reports if report.whole for key, part in report.whole(rows).items()}
    return {
        "schema": SCHEMA,
        "method": config.method,
        "preset": config.preset,
        "world": config.world,
        "seed": config.seed,
        "oracle": config.oracle,  # trained on true labels: no result of the method
        "status": folder.status,
        "finished_phases": folder.finished_phases,
        "wall_s": _total(timings, "wall_s"),
        "cpu_s": _total(timings, "cpu_s"),
        "iterations": [_iteration(rows, number, reports) for number in range(config.iterations + 1)],
        "time": {key: _total(timings, key) for key in _TIMES},
        "tokens": {
            "sampled": int(_total(timings, "tokens_sampled")),
            "trained": int(_total(rows, "tokens_trained")),  # every training step logs its own
        },
        "skipped_updates": int(_total(rows, "skipped_updates")),
        "answers_lost": int(_total(timings, "answers_lost")),  # to a failing sandbox; they taught nothing
        SUITES: suites_of_run(folder),
        **whole,
    }


def _iteration(rows: Sequence[Row], number: int, reports: Sequence[PhaseReport]) -> dict[str, object]:
    parts: dict[str, object] = {}
    for report in reports:
        for key, part in report.parts(rows, number).items():
            known = parts.get(key)
            together = {**part, **known} if isinstance(part, Mapping) and isinstance(known, Mapping) else None
            parts[key] = together or known or part
    mine = [row for row in rows if row.get("iteration") == number]
    return {
        "iteration": number,
        **parts,
        "alarms": [part_of(row) for row in mine if row.get("event") == ALARM],
        "skipped_updates": int(_total(mine, "skipped_updates")),
    }


def _total(rows: Iterable[Row], key: str) -> float:
    """Sum over all phases, in milliseconds precision; a value that is no number counts nothing."""
    values = (row.get(key) for row in rows)
    return round(sum(value for value in values if isinstance(value, int | float)), 3)
