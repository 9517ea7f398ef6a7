"""The run folder: what counts, what is refused, and that a redone phase leaves the same bytes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coevolve.errors import RunError
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.phases.pool_tasks import read_tasks
from coevolve.store import tables
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords


def fill(folder: RunFolder, phase: str, value: float = 0.5) -> None:
    folder.begin(phase)
    folder.log({"event": "curriculum_step", "reward": value})
    folder.log_timing({"phase": phase, "wall_s": 1.0})
    folder.finish(phase, [])


def three_parts(error: RunError) -> None:
    assert error.what
    assert error.where
    assert error.fix


def test_a_new_run_has_its_configuration_and_a_manifest(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", CoevolutionConfig(seed=3, iterations=2))
    folder.close()
    again = RunRecords.open(tmp_path / "run")
    assert again.config == CoevolutionConfig(seed=3, iterations=2)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["schema"] == 3
    assert again.state.status == "running"
    assert again.status == "stopped", "its process has ended"
    assert again.finished_phases == []


def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    fill(folder, "iteration-0/evaluate")
    folder.close()
    with pytest.raises(RunError, match="already holds a run") as caught:
        RunFolder.create(tmp_path, CoevolutionConfig())
    three_parts(caught.value)
    assert "resume" in caught.value.fix


def test_a_folder_of_the_user_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        RunFolder.create(tmp_path, CoevolutionConfig())
    assert (tmp_path / "config.yaml").read_text() == "mine"


def test_a_run_that_was_killed_before_its_manifest_says_so_and_can_begin_again(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, CoevolutionConfig()).close()
    for name in ("manifest.json", "manifest.copy.json"):
        (tmp_path / name).unlink()
    with pytest.raises(RunError, match="before it had begun") as caught:
        RunFolder.open(tmp_path)
    three_parts(caught.value)
    RunFolder.create(tmp_path, CoevolutionConfig(seed=1)).close()
    assert RunRecords.open(tmp_path).config.seed == 1


def test_opening_a_folder_without_a_run_leaves_it_untouched(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        RunFolder.open(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RunError, match="no such run folder"):
        RunRecords.open(tmp_path / "absent")


def test_a_second_writer_is_refused_while_readers_are_not(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path, CoevolutionConfig())
    code = f"""
from pathlib import Path
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords
from coevolve.errors import RunError
RunRecords.open(Path({str(tmp_path)!r}))
try:
    RunFolder.open(Path({str(tmp_path)!r}))
except RunError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert f"process {os.getpid()}" in told
    assert "fix:" in told
    first.close()
    RunFolder.open(tmp_path).close()


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder
folder = RunFolder.create(Path({str(tmp_path / "run")!r}), CoevolutionConfig())
awake, wake = os.pipe()
if os.fork() == 0:
    os.write(wake, b"!")
    sys.stdin.read()
    os._exit(0)
os.read(awake, 1)
os._exit(0)
"""
    orphaned, hold = os.pipe()
    subprocess.run([sys.executable, "-c", code], stdin=orphaned, check=True)
    try:
        RunFolder.open(tmp_path / "run").close()
    finally:
        os.close(orphaned)
        os.close(hold)


def test_who_gave_the_lock_back_cannot_change_the_run(tmp_path: Path) -> None:
    closed = RunFolder.create(tmp_path, CoevolutionConfig())
    closed.close()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for change in (
        lambda: closed.begin("a"),
        lambda: closed.set_status("failed"),
        lambda: closed.write_table("tasks/iteration-1.parquet", []),
    ):
        with pytest.raises(RunError, match="the run is closed"):
            change()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_reader_has_no_way_to_write_and_keeps_what_it_read(tmp_path: Path) -> None:
    writer = RunFolder.create(tmp_path, CoevolutionConfig())
    reader = RunRecords.open(tmp_path)
    assert not [name for name in dir(RunFolder) if not name.startswith("_") and hasattr(reader, name)
                and name not in {"open", "path", "config", "read_table"}]  # fmt: skip
    fill(writer, "a")
    assert reader.finished_phases == []
    assert RunRecords.open(tmp_path).finished_phases == ["a"]


def test_what_an_unfinished_phase_logged_is_cut_off(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    fill(folder, "a", 0.25)
    folder.begin("b")
    folder.log({"event": "curriculum_step", "reward": 0.125})
    folder.close()
    again = RunFolder.open(tmp_path)
    assert [row["reward"] for row in again.records.metrics()] == [0.25, 0.125]  # a reader sees work in progress
    again.begin("b")
    again.log({"event": "curriculum_step", "reward": 0.75})
    again.finish("b", [])
    assert [row["reward"] for row in again.records.metrics()] == [0.25, 0.75]
    assert again.records.is_done("b")
    assert len(again.records.timings()) == 1


def test_a_run_killed_at_any_step_ends_with_the_bytes_of_an_unbroken_one(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def work(folder: RunFolder, killed_at: int | None) -> None:
        step = 0

        def tick() -> None:
            nonlocal step
            step += 1
            if step == killed_at:
                raise Killed

        for number, phase in enumerate(("iteration-1/pool", "iteration-1/executor"), 1):
            if folder.records.is_done(phase):
                continue
            folder.begin(phase)
            tick()
            folder.log({"event": "pool", "value": number / 3})
            tick()
            table = folder.write_table(f"tasks/iteration-{number}.parquet", [{"task_id": "t", "question": "q"}])
            tick()
            weights = folder.save_folder(
                f"checkpoints/iteration-{number}/solver",
                lambda path: (tick(), (path / "model.bin").write_bytes(b"w"), tick())[0],  # type: ignore[func-returns-value]
            )
            tick()
            folder.finish(phase, [table, weights])
            tick()

    def content(path: Path) -> dict[str, bytes]:
        files = (file for file in path.rglob("*") if file.is_file() and file.name != ".lock")
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}

    whole = RunFolder.create(tmp_path / "whole", CoevolutionConfig())
    work(whole, None)
    whole.close()
    for killed_at in range(1, 15):
        path = tmp_path / f"killed-{killed_at}"
        folder = RunFolder.create(path, CoevolutionConfig())
        with pytest.raises(Killed):
            work(folder, killed_at)
        folder.close()
        again = RunFolder.open(path)
        work(again, None)
        again.records.verify()
        again.close()
        assert content(path) == content(tmp_path / "whole"), killed_at


def test_floats_are_stored_with_six_digits_and_nan_as_null(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    folder.begin("a")
    folder.log({"x": 1 / 3, "n": math.nan, "f": np.float32(0.1), "i": np.int64(3), "a": np.ones(2), "b": True})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert text == '{"x":0.333333,"n":null,"f":0.1,"i":3,"a":[1.0,1.0],"b":true}\n'


def test_a_line_outside_a_phase_is_refused_because_it_would_be_cut_off(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    with pytest.raises(RunError, match="only while a phase"):
        folder.log({"event": "pool"})
    fill(folder, "a")
    with pytest.raises(RunError, match="only while a phase"):
        folder.log_timing({"wall_s": 1})


def test_a_finished_phase_is_neither_redone_nor_overwritten(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    folder.begin("a")
    table = folder.write_table("tasks/iteration-1.parquet", [{"task_id": "t"}])
    saved = folder.save_folder("checkpoints/iteration-1/solver", lambda path: (path / "w").touch())
    folder.finish("a", [table, saved])
    for again in (
        lambda: folder.begin("a"),
        lambda: folder.write_table("tasks/iteration-1.parquet", []),
        lambda: folder.save_folder("checkpoints/iteration-1/solver", lambda path: None),
    ):
        with pytest.raises(RunError, match="finished"):
            again()


def test_the_last_half_written_line_is_not_read(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    fill(folder, "a")
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write('{"event":"po')
    assert len(folder.records.metrics()) == 1


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema":2}', '{"coevolve":"0.1.0"}'])
def test_a_damaged_manifest_is_named(tmp_path: Path, damage: str) -> None:
    RunFolder.create(tmp_path, CoevolutionConfig()).close()
    (tmp_path / "manifest.json").write_text(damage)
    with pytest.raises(RunError, match="manifest is damaged") as caught:
        RunRecords.open(tmp_path)
    three_parts(caught.value)


def test_a_manifest_that_is_replaced_while_it_is_read_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    read, states = Path.read_bytes, iter(range(100))

    def and_then_replaced(path: Path) -> bytes:
        data = read(path)
        if path.name == "manifest.json":
            folder.set_status(f"state {next(states)}")
        return data

    monkeypatch.setattr(Path, "read_bytes", and_then_replaced)
    for _ in range(3):
        assert RunRecords.open(tmp_path).status.startswith(("running", "state"))
    assert next(states) >= 3
    folder.close()


def test_a_manifest_of_a_newer_schema_names_the_version_to_install(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, CoevolutionConfig()).close()
    for name in ("manifest.json", "manifest.copy.json"):
        path = tmp_path / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 9, "coevolve": "7.0"}))
    with pytest.raises(RunError, match="schema 9") as caught:
        RunFolder.open(tmp_path)
    assert "7.0" in caught.value.fix


def test_a_changed_or_missing_configuration_is_refused(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, CoevolutionConfig()).close()
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 1"))
    with pytest.raises(RunError, match="configuration was changed"):
        RunFolder.open(tmp_path)
    path.unlink()
    with pytest.raises(RunError, match="configuration is missing"):
        RunFolder.open(tmp_path)


def test_a_shortened_or_damaged_log_is_named(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    fill(folder, "a")
    folder.close()
    log = tmp_path / "metrics.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-4])
    with pytest.raises(RunError, match="bytes") as caught:
        RunRecords.open(tmp_path)
    assert caught.value.where == str(log)
    log.write_bytes(b"?" + whole)
    with pytest.raises(RunError, match="line of the log"):
        RunRecords.open(tmp_path).metrics()


def test_a_lost_or_altered_checkpoint_is_found(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    with pytest.raises(RunError, match="no finished checkpoint"):
        folder.records.checkpoint(1, "solver")
    folder.begin("iteration-1/executor")
    made = folder.save_folder("checkpoints/iteration-1/solver", lambda path: (path / "w").write_bytes(b"12") and None)
    folder.finish("iteration-1/executor", [made])
    assert folder.records.checkpoint(1, "solver") == made
    (made / "w").write_bytes(b"13")
    with pytest.raises(RunError, match="was changed") as caught:
        folder.records.checkpoint(1, "solver")
    three_parts(caught.value)
    (made / "w").unlink()
    with pytest.raises(RunError, match="is missing"):
        folder.records.checkpoint(1, "solver")


def test_a_table_keeps_its_types_even_when_empty_and_damage_is_named(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    rows = [{"task_id": "t", "counts": (("7", 5), ("8", 1)), "p_hat": 0.5, "added": 2}, {"task_id": "u"}]
    folder.write_table("tasks/iteration-1.parquet", rows)
    first, second = folder.read_table("tasks/iteration-1.parquet")
    assert first["counts"] == [{"answer": "7", "votes": 5}, {"answer": "8", "votes": 1}]
    assert first["added"] == 2
    assert second["p_hat"] is None
    assert folder.records.read_table(str(folder.write_table("meter/tasks-1.parquet", []).relative_to(tmp_path))) == []
    (tmp_path / "tasks" / "iteration-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunError, match="damaged"):
        folder.read_table("tasks/iteration-1.parquet")
    with pytest.raises(RunError, match="missing"):
        folder.read_table("tasks/iteration-2.parquet")


def test_what_is_for_measuring_is_refused_to_phases_under_any_name(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    rows = [{"set": "suites-my", "task_id": "my-1", "question": "2 + 2?", "truth": "4"}]
    meant = folder.write_table("meter/evaluation-0.parquet", rows)
    assert folder.records.read_table("meter/evaluation-0.parquet")[0]["truth"] == "4"
    folder.write_table("tasks/iteration-1.parquet", [])
    assert read_tasks(folder, 1) == []
    (tmp_path / "tasks" / "iteration-1.parquet").write_bytes(meant.read_bytes())
    for read in (lambda: read_tasks(folder, 1), lambda: folder.read_table("meter/evaluation-0.parquet")):
        with pytest.raises(RunError, match="for measuring only") as caught:
            read()
        assert caught.value.where.endswith(".parquet")
    answers = folder.write_table("trajectories/suites-0-my.parquet", [])
    assert tables.is_for_measuring(answers)
    assert not tables.is_for_measuring(folder.write_table("tasks/iteration-2.parquet", []))


def test_facts_and_status_are_kept(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    folder.set_status("interrupted", sandbox={"landlock": True}, contract="abc")
    folder.close()
    again = RunRecords.open(tmp_path)
    assert again.status == "interrupted"
    assert again.facts == {"sandbox": {"landlock": True}, "contract": "abc"}
