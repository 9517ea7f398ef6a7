"""The sample of kept tasks for a person to judge: what is drawn, what is shown of it, and where there is a colour."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from coevolve.commands.judging import print_tasks
from coevolve.commands.markdown import harmless
from coevolve.report.build import page_data, render, task_data
from coevolve.report.judging import ToJudge, sample_of_kept
from coevolve.report.task_index import read_index
from coevolve.store.records import RunRecords

from .browser import Browser


def sample(run: Path, n: int) -> list[ToJudge]:
    folder = RunRecords.open(run)
    return sample_of_kept(folder, read_index(folder), n)


def test_so_many_kept_tasks_of_every_iteration_and_a_larger_sample_has_those_of_a_smaller_one(
    finished_run: Path,
) -> None:
    columns = read_index(RunRecords.open(finished_run)).columns
    few, many = sample(finished_run, 3), sample(finished_run, 500)
    kept = {
        (t, id)
        for t, id, kept, origin in zip(
            columns["iteration"], columns["task_id"], columns["kept"], columns["origin"], strict=True
        )
        if kept and not origin
    }
    assert {(task.iteration, task.task_id) for task in many} == kept
    assert {t: sum(task.iteration == t for task in few) for t in (1, 2, 3)} == {1: 3, 2: 3, 3: 3}
    assert [task for task in many if task in few] == few == sample(finished_run, 3)
    assert all(task.label and sum(n for _, n in task.votes) >= task.p_hat for task in many)


def test_outputs_are_what_the_last_program_of_each_answer_showed(finished_run: Path) -> None:
    folder = RunRecords.open(finished_run)
    tasks = sample(finished_run, 5)
    assert any(task.outputs for task in tasks)
    for task in tasks:
        rows = [
            row
            for row in folder.read_table(f"trajectories/pool-{task.iteration}.parquet")
            if row["task_id"] == task.task_id and row["tool_calls"]
        ]
        assert sum(n for _, n in task.outputs) == len(rows) or len(task.outputs) == 4
        shown = {" ".join(row["tool_calls"][-1]["observation"].split())[:20] for row in rows}
        assert {text[:20] for text, _ in task.outputs} <= shown


def test_the_page_has_a_colour_only_where_the_truth_is_known(
    browser: Browser, finished_run: Path, tmp_path: Path
) -> None:
    folder = RunRecords.open(finished_run)
    rows: Sequence[dict[str, object]] = [
        {"iteration": t, "task_id": f"t{t}", "question": question, "label": "441", "p_hat": 0.5}
        | {"votes": [["441", 2], ["<b>21</b>", 1]], "outputs": [["441", 2]], "truth": truth, "right": right}
        for t, question, truth, right in (
            (1, "How many times does 21 repeat?", None, None),
            (2, "What is 21 squared?", "441", True),
            (2, "What is 21 + 21?", "42", False),
        )
    ]
    page = tmp_path / "page.html"
    page.write_text(render(page_data(folder), task_data(read_index(folder)) | {"sample": rows}), encoding="utf-8")
    browser.show(page)
    browser.until("!document.getElementById('sample').hidden")
    browser.run("document.querySelectorAll('#sample details').forEach((node) => { node.open = true; })")
    text = browser.run("return document.getElementById('sampled').innerText")
    assert "Iteration 1: 1 kept tasks, labels right 0 of 0 checked" in text
    assert "Iteration 2: 2 kept tasks, labels right 1 of 2 checked" in text
    assert "<b>21</b> ×1" in text
    marks = browser.run("return [...document.querySelectorAll('#sample .verdict')].map((node) => node.className)")
    assert marks == ["verdict open", "verdict right", "verdict wrong"]
    assert browser.errors() == []


def test_a_run_without_kept_tasks_has_no_sample(
    browser: Browser, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = RunRecords.open(make_run(until="iteration-1/pool"))
    index = read_index(folder)
    assert sample_of_kept(folder, index) == []
    page = tmp_path / "page.html"
    page.write_text(render(page_data(folder), task_data(index)), encoding="utf-8")
    browser.show(page)
    browser.until("document.getElementById('browser').children.length > 0")
    assert browser.run("return document.getElementById('sample').hidden")


def test_the_same_as_text_csv_and_json(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = sample(finished_run, 2)
    print_tasks(finished_run, 2, as_csv=True, as_json=False)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["iteration"], row["task_id"], row["judged"]) for row in rows] == [
        (str(task.iteration), task.task_id, "") for task in tasks
    ]
    assert [row["right"] for row in rows] == ["yes" if task.right else "no" for task in tasks]
    print_tasks(finished_run, 2, as_csv=False, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [row["question"] for row in found] == [task.question for task in tasks]
    print_tasks(finished_run, 2, as_csv=False, as_json=False)
    text = capsys.readouterr().out
    assert "iteration 1: 2 kept tasks, labels: " in text
    assert all(harmless(" ".join(task.question.split())) in text for task in tasks)
