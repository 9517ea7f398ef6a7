"""The numbers of a run in one structure with stable keys, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords
from coevolve.store.trajectories import count_trajectories

Row = Mapping[str, object]
Summary = Mapping[str, object]
Item = TypeVar("Item")

SCHEMA = 1  # of what follows: it grows when a key changes its meaning or goes, and stays when one is added
_HELD_OUT = ("mean_at_8", "maj_at_8", "greedy", "by_level", "tool_calls", "n", "ci95")
_POOL = (
    "size",
    "kept",
    "label_accuracy_kept",
    "label_accuracy_all",
    "well_formed",
    "duplicates",
    "p_hat_histogram",
    "tool_calls",
)
_LATER_MEASURED = ("first_executor_pass_rate", "fixed_executor_tool_calls")
_CURRICULUM = ("reward", "r_unc", "r_tool", "r_rep", "format")
_EXECUTOR = ("reward", "true_accuracy", "clip_fraction_by_p_hat", "entropy", "kl")
_TIMES = ("sample_s", "train_s", "tool_s", "grade_s", "store_s", "other_s")


def summarise(path: Path) -> dict[str, object]:
    """Everything that a run measured, also of a run in progress: what is not there (yet) is null.

    Iteration 0 is the base model and has no pool, curriculum or executor. ``curriculum`` and ``executor`` of
    an iteration are its last step so far (``step`` of ``steps``). A pool is measured again whenever a later
    executor is evaluated; its ``first_executor_pass_rate`` and ``fixed_executor_tool_calls`` are the newest
    values. ``trajectories`` counts what finished phases stored, in ``total`` and ``by_phase``. All rates are fractions
    from 0 to 1, times are seconds, ``ci95`` is [low, high].

    Raises:
        RunError: the folder holds no run, or a damaged one.
    """
    folder = RunFolder.open(path, write=False)
    return logged(folder) | {"trajectories": count_trajectories(folder)}


def logged(folder: RunRecords) -> dict[str, object]:
    """The part of the summary that stands in manifest and logs, read in no time however many trajectories there are.

    Raises:
        RunError: a log of the run is damaged.
    """
    rows, timings = folder.metrics(), folder.timings()
    config = folder.config
    return {
        "schema": SCHEMA,
        "method": config.method,
        "preset": config.preset,
        "world": config.world,
        "seed": config.seed,
        "status": folder.status,
        "finished_phases": folder.finished_phases,
        "wall_s": _total(timings, "wall_s"),
        "cpu_s": _total(timings, "cpu_s"),
        "iterations": [_iteration(rows, number) for number in range(config.iterations + 1)],
        "time": {key: _total(timings, key) for key in _TIMES},
        "tokens": {
            "sampled": int(_total(timings, "tokens_sampled")),
            "trained": int(_total(rows, "tokens_trained")),  # every training step logs its own
        },
        "skipped_updates": int(_total(rows, "skipped_updates")),
        "answers_lost": int(_total(timings, "answers_lost")),  # to a failing sandbox; they taught nothing
        "controls": {str(row["name"]): _rest(row, "event", "name") for row in _events(rows, "control")},
    }


def at(data: object, *path: str) -> object:
    """A value deep in nested mappings; None where a part does not exist or does not apply."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def number_at(data: object, *path: str) -> float | None:
    """The number deep in nested mappings, or None."""
    value = at(data, *path)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def iterations(summary: Summary) -> list[object]:
    """The iterations in order; 0 is the base model."""
    found = summary.get("iterations")
    return found if isinstance(found, list) else []


def _iteration(rows: Sequence[Row], number: int) -> dict[str, object]:
    mine = [row for row in rows if row.get("iteration") == number]
    evaluation = _last(_events(mine, "evaluation")) or {}
    curriculum, executor = (_last(_events(mine, f"{name}_step")) for name in ("curriculum", "executor"))
    return {
        "iteration": number,
        "held_out": _part(_mapping(evaluation.get("held_out")), _HELD_OUT, rest=True),
        "transfer": evaluation.get("transfer"),
        "pool": _pool(rows, _last(_events(mine, "pool")), number),
        "curriculum": _part(curriculum, (*_CURRICULUM, "step", "steps")),
        "executor": _part(executor, (*_EXECUTOR, "step", "steps")),
        "probe": _part(_last(_events(mine, "probe")), (), rest=True),
        "rollback": _part(_last(_events(mine, "rollback")), (), rest=True),
        "alarms": [_rest(row, "event", "iteration") for row in _events(mine, "alarm")],
        "skipped_updates": int(_total(mine, "skipped_updates")),
    }


def _pool(rows: Sequence[Row], pool: Row | None, number: int) -> dict[str, object] | None:
    part = _part(pool, _POOL, rest=True)
    if part is not None:
        part |= {key: _newest(rows, key, number) for key in _LATER_MEASURED}
    return part


def _newest(rows: Sequence[Row], key: str, pool: int) -> object:
    """What the newest evaluation that measured a pool found."""
    measured = (_mapping(row.get(key)) for row in _events(rows, "evaluation"))
    return _last([values[str(pool)] for values in measured if values and str(pool) in values])


def _part(row: Row | None, keys: Sequence[str], *, rest: bool = False) -> dict[str, object] | None:
    """The named values in this order, null where there is none; with ``rest`` all others after them."""
    if row is None:
        return None
    return {key: row.get(key) for key in keys} | (_rest(row, "event", "iteration", *keys) if rest else {})


def _rest(row: Row, *known: str) -> dict[str, object]:
    return {key: value for key, value in row.items() if key not in known}


def _mapping(value: object) -> Row | None:
    return value if isinstance(value, Mapping) else None


def _events(rows: Iterable[Row], event: str) -> list[Row]:
    return [row for row in rows if row.get("event") == event]


def _last(items: Sequence[Item]) -> Item | None:
    return items[-1] if items else None


def _total(rows: Iterable[Row], key: str) -> float:
    """Sum over all phases, in milliseconds precision; a value that is no number counts nothing."""
    values = (row.get(key) for row in rows)
    return round(sum(value for value in values if isinstance(value, int | float)), 3)
