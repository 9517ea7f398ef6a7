"""Trajectories in chunks: votes by answer, bounded size, places and probabilities that fit the text."""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from coevolve.report import chunks
from coevolve.report.chunks import MOST_OF_A_TASK, Trajectories, left_out, read_trajectories, task_trajectories
from coevolve.report.task_index import TaskIndex, read_index
from coevolve.report.transcripts import LONGEST_TEXT, TokenPieces, shown
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords
from coevolve.worlds.miniature.learner import MiniatureWorld


def trajectories_by_task(found: Trajectories) -> list[list[dict[str, Any]] | None]:
    opened = [json.loads(zlib.decompress(base64.b64decode(text))) for text in found.chunks]
    return [opened[at[0]][at[1]] if at else None for at in found.at]


def read(path: Path) -> tuple[RunRecords, TaskIndex, Trajectories]:
    folder = RunRecords.open(path)
    index = read_index(folder)
    return folder, index, read_trajectories(folder, index)


def test_every_trajectory_points_to_its_vote(finished_run: Path) -> None:
    _, index, found = read(finished_run)
    assert left_out(index, found) == ""
    seen = 0
    for counts, samples in zip(index.columns["counts"], trajectories_by_task(found), strict=True):
        if not counts:
            continue
        assert samples is not None
        seen += len(samples)
        votes = Counter(sample["vote"] for sample in samples if sample["vote"] is not None)
        assert [votes[i] for i in range(len(counts))] == [number for _, number in counts]
    assert seen == found.total == 3 * 64 * 8


def test_a_server_gives_the_same_trajectories_one_task_at_a_time(finished_run: Path) -> None:
    folder, index, found = read(finished_run)
    for key, samples in list(zip(index.keys(), trajectories_by_task(found), strict=True))[::30]:
        assert task_trajectories(folder, key) == (samples or [])
    assert task_trajectories(folder, (0, 9, "nobody")) == []


def test_an_answer_counts_for_its_canonical_form(make_run: Callable[..., Path]) -> None:
    folder = RunFolder.open(make_run(until="iteration-1/pool"))
    folder.begin("iteration-1/pool")
    task = {"iteration": 1, "task_id": "t", "question": "q", "counts": [("1/2", 2)], "k": 3, "kept": True}
    rows = [
        {"iteration": 1, "task_id": "t", "phase": "pool", "sample": i, "answer": answer, "text": "", "tool_calls": []}
        for i, answer in enumerate(["0.5", "\\frac{1}{2}", None])
    ]
    files = [
        folder.write_table("tasks/iteration-1.parquet", [task]),
        folder.write_table("trajectories/pool-1.parquet", rows),
    ]
    folder.finish("iteration-1/pool", files)
    assert [sample["vote"] for sample in task_trajectories(folder.records, (0, 1, "t"))] == [0, 0, None]


def test_a_page_within_its_bounds_says_what_is_missing(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "MOST_TRAJECTORIES", 320)
    path = make_run(pool=16, votes=20)
    _, index, found = read(path)
    samples = [held for held in trajectories_by_task(found) if held]
    assert all(len(held) == MOST_OF_A_TASK for held in samples)
    assert len(samples) == 320 // MOST_OF_A_TASK
    assert found.total == 3 * 16 * 20
    assert f"leaves out {960 - 320} of 960 trajectories; they are in the Parquet files" in left_out(index, found)
    kept = [use for use, at in zip(index.columns["kept"], found.at, strict=True) if at]
    assert all(kept) or all(at for use, at in zip(index.columns["kept"], found.at, strict=True) if use)


@pytest.mark.parametrize("bound", ["PAGE_BYTES", "TEXT_BYTES"])
def test_no_bound_of_size_is_passed(bound: str, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 12_000
    monkeypatch.setattr(chunks, bound, limit)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 4_000)
    _, index, found = read(make_run(pool=16, votes=12))
    assert 0 < sum(map(len, found.chunks)) <= limit
    assert "of 576 trajectories" in left_out(index, found)


def test_a_run_that_kept_no_trajectories_says_so(make_run: Callable[..., Path]) -> None:
    folder = RunFolder.open(make_run(until="iteration-1/pool"))
    folder.begin("iteration-1/pool")
    table = folder.write_table("tasks/iteration-1.parquet", [{"iteration": 1, "task_id": "t", "question": "q"}])
    folder.finish("iteration-1/pool", [table])
    index = read_index(folder.records)
    found = read_trajectories(folder.records, index)
    assert found.chunks == []
    assert "keep_trajectories" in left_out(index, found)


def row(text: str, **values: Any) -> dict[str, Any]:
    return {"sample": 0, "policy": "p", "answer": None, "stop": "eos", "text": text, "tool_calls": []} | values


def test_probabilities_belong_to_the_tokens_of_the_text() -> None:
    file = MiniatureWorld().base_model() / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    text = "a = 7.\\boxed{7}"
    tokens = np.array([*tokenizer.encode(text, add_special_tokens=False).ids, 1], np.int32)
    logprobs = -np.arange(len(tokens), dtype=np.float32) / 8
    mask = np.ones(len(tokens), dtype=np.bool_)
    mask[2] = False
    found = shown(row(text, tokens=tokens, logprobs=logprobs, mask=mask), [], TokenPieces(file))
    assert sum(found["lengths"]) == len(text)
    assert found["ends"] == ["<|endoftext|>"]
    assert len(found["surprise"]) == len(tokens) == len(found["lengths"]) + 1
    assert found["surprise"][2] == -1
    assert all(abs(value / 1000 - n / 8) <= 0.0005 for n, value in enumerate(found["surprise"]) if n != 2)


def test_without_a_tokenizer_that_fits_there_are_no_probabilities() -> None:
    streams = {"tokens": np.array([1]), "logprobs": np.array([-1.0]), "mask": np.array([True])}
    assert "lengths" not in shown(row("a", **streams), [], None)
    file = MiniatureWorld().base_model() / "tokenizer.json"
    assert "lengths" not in shown(row("something else", **streams), [], TokenPieces(file))


def test_places_count_as_a_browser_counts() -> None:
    text = "🙂 so ```python\nprint('🙂')\n```\n```output\n🙂\n```\nend"
    call = {"code": "print('🙂')", "observation": "🙂", "status": "ok"}
    found = shown(row(text, tool_calls=[call]), [], None)
    units = text.encode("utf-16-le")
    cut = [units[2 * a : 2 * b].decode("utf-16-le") for _, a, b, _ in found["parts"]]
    assert cut == ["🙂 so", "print('🙂')", "🙂", "end"]


def test_a_long_text_is_cut_and_says_how_much_is_missing() -> None:
    text = "x" * 1_000_000
    found = shown(row(text), [], None)
    assert found["text"] == "x" * LONGEST_TEXT
    assert found["cut"] == 1_000_000 - LONGEST_TEXT
    assert found["parts"] == [["text", 0, LONGEST_TEXT, ""]]
