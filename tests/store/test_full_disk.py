"""A full disk: a clear message, and the last good state is kept and can be resumed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coevolve.errors import RunError
from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder


def no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def started(path: Path) -> RunFolder:
    folder = RunFolder.create(path, CoevolutionConfig())
    folder.begin("iteration-0/evaluate")
    folder.log({"event": "evaluation", "iteration": 0})
    folder.finish("iteration-0/evaluate", [])
    folder.begin("iteration-1/curriculum")
    return folder


def test_every_way_of_writing_says_what_is_kept_and_how_to_go_on(tmp_path: Path) -> None:
    folder = started(tmp_path)
    before = (tmp_path / "manifest.json").read_bytes()
    ways = [
        lambda: folder.log({"event": "curriculum_step"}),
        lambda: folder.write_table("tasks/iteration-1.parquet", [{"task_id": "t"}]),
        lambda: folder.set_status("failed"),
        lambda: folder.finish("iteration-1/curriculum", []),
        lambda: folder.save_folder("checkpoints/iteration-1/solver", lambda path: no_space() and None),
    ]
    for way in ways:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "write", no_space)
            with pytest.raises(RunError, match="disk is full") as caught:
                way()
        assert f"coevolve resume {tmp_path}" in caught.value.fix
        assert "iteration-0/evaluate is kept" in caught.value.fix
        assert caught.value.where.startswith(str(tmp_path))
    assert (tmp_path / "manifest.json").read_bytes() == before
    assert not list(tmp_path.rglob("*.partial"))


def test_a_full_disk_that_a_library_reports_in_its_own_words_is_recognised(tmp_path: Path) -> None:
    folder = started(tmp_path)

    def write(path: Path) -> None:
        raise RuntimeError(f"I/O error: {os.strerror(errno.ENOSPC)} (os error 28)")

    with pytest.raises(RunError, match="disk is full"):
        folder.save_folder("checkpoints/iteration-1/solver", write)

    def write_by_torch(path: Path) -> None:
        try:
            no_space()
        finally:
            raise RuntimeError("unexpected pos 640 vs 598")

    with pytest.raises(RunError, match="disk is full"):
        folder.save_folder("checkpoints/iteration-1/solver", write_by_torch)

    def defect(path: Path) -> None:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape"):
        folder.save_folder("checkpoints/iteration-1/solver", defect)


def test_a_process_that_meets_a_real_limit_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "run"
    code = f"""
import resource
from pathlib import Path
from coevolve.methods.config import CoevolutionConfig
from coevolve.errors import RunError
from coevolve.store.folder import RunFolder
folder = RunFolder.create(Path({str(path)!r}), CoevolutionConfig())
folder.begin("a"); folder.log({{"event": "one"}}); folder.finish("a", [])
folder.begin("b")
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    while True:
        folder.log({{"event": "x" * 100}})
except RunError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "disk is full" in told
    assert "metrics.jsonl" in told
    assert "resume" in told
    again = RunFolder.open(path)
    assert again.records.finished_phases == ["a"]
    again.begin("b")
    assert again.records.metrics() == [{"event": "one"}]
    again.finish("b", [])


def test_no_room_for_the_first_file_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", no_space)
    with pytest.raises(RunError, match="disk is full") as caught:
        RunFolder.create(tmp_path / "run", CoevolutionConfig())
    assert "same command again" in caught.value.fix
    monkeypatch.undo()
    RunFolder.create(tmp_path / "run", CoevolutionConfig()).close()
