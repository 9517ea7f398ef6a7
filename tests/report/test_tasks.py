"""The tasks of the page: votes by answer, a bounded size, and trajectories cut at their tool calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from coevolve.report.build import embedded_json
from coevolve.report.segments import segments
from coevolve.report.tasks import MOST_TRAJECTORIES, browser_tasks
from coevolve.runs.store import RunFolder


def test_every_trajectory_points_to_its_vote(finished_run: Path) -> None:
    tasks, left_out = browser_tasks(RunFolder.open(finished_run, write=False), 10**7)
    assert len(tasks) == 3 * 64
    assert left_out == ""
    for task in tasks:
        votes = Counter(sample["vote"] for sample in task["trajectories"] if sample["vote"] is not None)
        assert [votes[i] for i in range(len(task["counts"]))] == [number for _, number in task["counts"]]
        assert task["right"] == (task["label"] == task["truth"])
        assert task["first"] == 0.5


def test_an_answer_counts_for_its_canonical_form(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    path = make_run(until="iteration-1/pool")
    folder = RunFolder.open(path, write=True)
    folder.begin("iteration-1/pool")
    task = {"iteration": 1, "task_id": "t", "question": "q", "counts": [("1/2", 2)], "k": 3, "kept": True}
    answers = ["0.5", "\\frac{1}{2}", None]
    rows = [
        {"iteration": 1, "task_id": "t", "phase": "pool", "sample": i, "answer": answer, "text": "", "tool_calls": []}
        for i, answer in enumerate(answers)
    ]
    files = [
        folder.write_table("tasks/iteration-1.parquet", [task]),
        folder.write_table("trajectories/pool-1.parquet", rows),
    ]
    folder.finish("iteration-1/pool", files)
    (shown,), _ = browser_tasks(folder, 10**6)
    assert [sample["vote"] for sample in shown["trajectories"]] == [0, 0, None]
    assert shown["truth"] is None


def test_the_size_is_bounded_and_the_page_says_what_is_missing(make_run: Callable[..., Path]) -> None:
    path = make_run(pool=16, votes=12)
    folder = RunFolder.open(path, write=False)
    budget = 60_000
    tasks, left_out = browser_tasks(folder, budget)
    shown = [task for task in tasks if task["trajectories"]]
    assert len(embedded_json(tasks)) <= budget * 1.02  # the keys of the trajectories themselves
    assert 0 < len(shown) < len(tasks)
    assert len({task["iteration"] for task in shown}) == 3
    assert all(task["kept"] for task in shown)
    assert all(len(task["trajectories"]) == MOST_TRAJECTORIES for task in shown)
    assert f"{len(tasks) - len(shown)} of 48 tasks" in left_out
    assert "beyond the first 8" in left_out
    assert all(task["answered"] == 12 for task in tasks)


def test_a_run_that_kept_no_trajectories_says_so(make_run: Callable[..., Path]) -> None:
    folder = RunFolder.open(make_run(until="iteration-1/pool"), write=True)
    folder.begin("iteration-1/pool")
    table = folder.write_table("tasks/iteration-1.parquet", [{"iteration": 1, "task_id": "t", "question": "q"}])
    folder.finish("iteration-1/pool", [table])
    (task,), left_out = browser_tasks(folder, 10**6)
    assert task["trajectories"] == []
    assert "keep_trajectories" in left_out


CALL = {"code": "print(2)", "observation": "2", "status": "ok"}
RAN = "```python\nprint(2)\n```\n```output\n2\n```\n"


@pytest.mark.parametrize(
    ("text", "calls", "expected"),
    [
        ("", [], []),
        ("a = 2. \\boxed{2}", [], [("text", "a = 2. \\boxed{2}", "")]),
        (
            "So " + RAN + "\\boxed{2}",
            [CALL],
            [
                ("text", "So", ""),
                ("code", "print(2)", "ok"),
                ("output", "2", "ok"),
                ("text", "\\boxed{2}", ""),
            ],
        ),
        (RAN + RAN, [CALL, CALL], [("code", "print(2)", "ok"), ("output", "2", "ok")] * 2),
        # an output that the model wrote itself stays its text
        ("```output\n7\n```", [], [("text", "```output\n7\n```", "")]),
        # cut off in the middle of the observation
        ("```python\nprint(2)\n```\n```output\n", [CALL], [("code", "print(2)", "ok"), ("output", "2", "ok")]),
        # a call that is not where it was recorded is still shown
        ("\\boxed{2}", [CALL], [("code", "print(2)", "ok"), ("output", "2", "ok"), ("text", "\\boxed{2}", "")]),
    ],
)
def test_a_text_is_cut_at_its_tool_calls(
    text: str, calls: list[dict[str, str]], expected: list[tuple[str, str, str]]
) -> None:
    assert segments(text, calls) == expected
