"""The index lists every task of every pool and every held-out problem, the important ones when there are too many."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from coevolve.report.task_index import HELD_OUT, WRITTEN, TaskIndex, read_index, task_forms
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords


def opened(path: Path) -> RunRecords:
    return RunRecords.open(path)


def test_tasks_of_pools_and_held_out_problems_are_listed(finished_run: Path) -> None:
    index = read_index(opened(finished_run))
    columns = index.columns
    assert columns["origin"].count(WRITTEN) == 3 * 64
    assert columns["origin"].count(HELD_OUT) == 4 * 3
    assert index.total == len(index) == 3 * 64 + 4 * 3
    for origin, label, truth, right, first in zip(
        *(columns[name] for name in ("origin", "label", "truth", "right", "first")), strict=True
    ):
        if origin == WRITTEN:
            assert right == (label == truth)
            assert first == 0.5


def test_columns_become_json_that_gives_the_same_values(finished_run: Path) -> None:
    index = read_index(opened(finished_run))
    stored = json.loads(json.dumps(index.as_json(), allow_nan=False))
    assert stored["n"] == len(index)
    for name in ("topic", "reason", "set"):
        values, codes = stored["columns"][name]["values"], stored["columns"][name]["codes"]
        assert [None if code is None else values[code] for code in codes] == index.columns[name]
    assert stored["columns"]["kept"] == [None if kept is None else int(kept) for kept in index.columns["kept"]]


def test_kept_tasks_come_first_and_iterations_by_turns() -> None:
    index = TaskIndex()
    for origin, iteration, kept in [
        (WRITTEN, 1, False),
        (WRITTEN, 1, True),
        (WRITTEN, 1, True),
        (WRITTEN, 2, True),
        (WRITTEN, 2, False),
        (HELD_OUT, 0, None),
        (WRITTEN, 2, True),
    ]:
        index.add([], origin=origin, iteration=iteration, kept=kept)
    assert index.by_importance() == [1, 3, 2, 6, 0, 4, 5]


def test_of_too_many_tasks_the_kept_ones_stay_in_their_order(finished_run: Path) -> None:
    whole = read_index(opened(finished_run))
    kept = [key for key, use in zip(whole.keys(), whole.columns["kept"], strict=True) if use]
    index = read_index(opened(finished_run), most=len(kept))
    assert list(index.keys()) == kept
    assert index.total == len(whole)


def test_long_texts_are_shortened_and_say_so(make_run: Callable[..., Path]) -> None:
    folder = RunFolder.open(make_run(until="iteration-1/pool"))
    folder.begin("iteration-1/pool")
    task = {"iteration": 1, "task_id": "t", "question": "q" * 1_000_000, "label": "7" * 900, "counts": [("7" * 900, 2)]}
    folder.finish("iteration-1/pool", [folder.write_table("tasks/iteration-1.parquet", [task])])
    columns = read_index(folder.records).columns
    place = columns["task_id"].index("t")
    assert columns["question"][place] == "q" * 1000 + " … (999,000 more characters in the run folder)"
    assert columns["label"][place] == columns["counts"][place][0][0]
    assert len(columns["label"][place]) < 300


def test_many_different_votes_are_counted_together(make_run: Callable[..., Path]) -> None:
    folder = RunFolder.open(make_run(until="iteration-1/pool"))
    folder.begin("iteration-1/pool")
    task = {"iteration": 1, "task_id": "t", "question": "q", "counts": [(str(i), 1) for i in range(100)], "k": 100}
    folder.finish("iteration-1/pool", [folder.write_table("tasks/iteration-1.parquet", [task])])
    index = read_index(folder.records)
    counts = index.columns["counts"][index.columns["task_id"].index("t")]
    assert sum(votes for _, votes in counts) == 100
    assert counts[-1] == ["other answers", 76]


def test_forms_of_one_task_are_those_of_the_index(finished_run: Path) -> None:
    folder = opened(finished_run)
    index = read_index(folder)
    for key, forms in list(zip(index.keys(), index.forms, strict=True))[::40]:
        assert task_forms(folder, key) == forms
