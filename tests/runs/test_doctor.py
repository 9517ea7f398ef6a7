"""``coevolve doctor``: one flipped byte in any file is found and named, and the way back leads to the same bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.errors import RunError
from coevolve.methods.config import CoevolutionConfig
from coevolve.runs.doctor import Start, diagnose, repair
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]

SMALL = ("iterations=1", "proposer.steps=2", "run.save_tasks=3")
OF_ITS_OWN = {".lock", "timings.jsonl", "manifest.json", "manifest.copy.json", "config.yaml"}


def contents(run: Path) -> dict[str, str]:
    """Digests of all that is left when a run is finished and that depends on neither clock, folder nor past."""
    files = [f for f in run.rglob("*") if f.is_file() and f.name not in OF_ITS_OWN]
    files = [f for f in files if not {"damaged", "report", "provenance"} & set(f.relative_to(run).parts)]
    return {f.relative_to(run).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def flip(file: Path, at: float = 0.6) -> None:
    data = bytearray(file.read_bytes())
    data[int(len(data) * at)] ^= 0x04
    file.write_bytes(data)


@pytest.fixture(scope="module")
def runs(cli: Cli, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run, and two that were killed: in the last evaluation and in the executor's training."""
    place = tmp_path_factory.mktemp("runs")
    out = {"finished": place / "finished"}
    assert cli(*tiny(out["finished"], *SMALL)).code == 0
    for name, method in (("evaluate", "save_batch"), ("executor", "save_point")):
        out[name] = place / name
        fault = {"method": method, "phase": f"iteration-1/{name}", "when": "after", "kind": "kill"}
        assert cli(*tiny(out[name], *SMALL), fault=fault).code == -9
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("killed_in", "pattern", "begins"),
    [
        ("evaluate", "config.yaml", "iteration-1/evaluate"),
        ("evaluate", "manifest.json", "iteration-1/evaluate"),
        ("evaluate", "metrics.jsonl", "iteration-1/executor"),
        ("evaluate", "timings.jsonl", "iteration-1/executor"),
        ("evaluate", "tasks/iteration-1.parquet", "iteration-1/pool"),
        ("evaluate", "trajectories/pool-1.parquet", "iteration-1/pool"),
        ("evaluate", "meter/tasks-1.parquet", "iteration-1/pool"),
        ("evaluate", "checkpoints/iteration-1/solver/model.safetensors", "iteration-1/executor"),
        ("evaluate", "checkpoints/iteration-1/proposer/optimizer.pt", "iteration-1/curriculum"),
        ("evaluate", "partial/answers-*.parquet", "iteration-1/evaluate"),
        ("executor", "partial/step-1/model.safetensors", "iteration-1/executor"),
    ],
)
def test_a_flipped_byte_is_found_named_and_left_behind(
    killed_in: str, pattern: str, begins: str, cli: Cli, runs: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs[killed_in], run)
    file = next(run.glob(pattern))
    flip(file, 0.99 if file.suffix == ".jsonl" else 0.6)
    damaged = file.read_bytes()

    found = cli("doctor", str(run))
    assert found.code == 1, found.stderr
    assert f"damaged   {file.relative_to(run)}: " in found.stdout
    assert f"coevolve doctor {run} --repair" in found.stdout
    cli("resume", str(run), "--quiet").assert_clear(str(file), f"coevolve doctor {run} --repair")
    assert file.read_bytes() == damaged

    mended = cli("doctor", str(run), "--repair", "--json")
    assert mended.code == 0, mended.stderr
    content = json.loads(mended.stdout)
    assert content["intact"]
    assert content["resume"]["phase"] == begins
    assert (run / "damaged/1" / file.relative_to(run)).read_bytes() == damaged
    assert cli("resume", str(run), "--quiet").code == 0
    assert contents(run) == contents(runs["finished"])
    assert cli("doctor", str(run)).code == 0


def test_where_resume_begins_is_said_to_the_step_and_the_batch(runs: dict[str, Path]) -> None:
    assert diagnose(runs["finished"]).start == Start(None)
    assert diagnose(runs["executor"]).start == Start("iteration-1/executor", step=1, steps=2)
    assert diagnose(runs["evaluate"]).start == Start("iteration-1/evaluate", batches=1)


def test_a_finished_run_is_looked_at_as_well(runs: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs["finished"], run)
    (run / "checkpoints/iteration-1/solver/model.safetensors").unlink()
    found = diagnose(run)
    assert [(one.file, one.fault) for one in found.damage] == [
        ("checkpoints/iteration-1/solver/model.safetensors", "is missing")
    ]
    assert found.start is None
    assert found.repair is not None
    assert found.repair.start == Start("iteration-1/executor", steps=2)
    assert found.repair.undone == ("iteration-1/executor", "iteration-1/evaluate")


def filled(path: Path) -> Path:
    """Two finished phases with a table each, and a third with a step."""
    folder = RunFolder.create(path, CoevolutionConfig())
    for n, phase in enumerate(("iteration-0/evaluate", "iteration-1/curriculum")):
        folder.begin(phase)
        folder.log({"event": "one", "value": n})
        folder.log_timing({"phase": phase})
        folder.finish(phase, [folder.write_table(f"meter/tasks-{n}.parquet", [{"task_id": str(n)}])])
    folder.begin("iteration-1/pool")
    folder.save_batch("texts-1", [{"task_id": "a"}], dict)
    folder.save_batch("texts-2", [{"task_id": "b"}], dict)
    folder.close()
    return path


def test_batches_do_not_need_each_other(tmp_path: Path) -> None:
    run = filled(tmp_path / "run")
    flip(run / "partial/texts-1.parquet")
    done = repair(run)
    assert done is not None
    assert done.moved == ("partial/texts-1.parquet",)
    assert (done.undone, done.aside) == ((), run / "damaged/1")
    folder = RunFolder.open(run)
    folder.records.verify_all()
    folder.begin("iteration-1/pool")
    assert folder.load_batch("texts-1") is None
    rows = folder.load_batch("texts-2")
    assert rows is not None
    assert rows[0]["task_id"] == "b"


def test_the_earliest_damage_decides_and_nothing_is_deleted(tmp_path: Path) -> None:
    run = filled(tmp_path / "run")
    before = {f.relative_to(run): f.read_bytes() for f in run.rglob("*") if f.is_file()}
    flip(run / "meter/tasks-0.parquet")
    repair(run)
    aside = run / "damaged/1"
    assert RunRecords.open(run).finished_phases == []
    for name in ("meter/tasks-1.parquet", "partial/texts-2.parquet", "metrics.jsonl", "timings.jsonl", "manifest.json"):
        assert (aside / name).read_bytes() == before[Path(name)]
    assert (run / "metrics.jsonl").read_bytes() == b""
    flip(run / "config.yaml")
    repair(run)
    assert (run / "damaged/2/config.yaml").exists()
    assert (run / "config.yaml").read_bytes() == before[Path("config.yaml")]


def test_a_repair_does_what_was_said_before_and_can_be_undone(cli: Cli, tmp_path: Path) -> None:
    run = filled(tmp_path / "run")
    flip(run / "meter/tasks-1.parquet")
    before = {f.relative_to(run): f.read_bytes() for f in run.rglob("*") if f.is_file() and f.name != ".lock"}
    looked = cli("doctor", run)
    steps = [line for line in looked.stdout.splitlines() if line.startswith("          - ")]
    assert "count 1 finished phase no longer (iteration-1/curriculum): resume does the work again" in steps[0]
    assert "move 3 files to" in steps[1]
    plan = diagnose(run).repair
    assert {f.relative_to(run): f.read_bytes() for f in run.rglob("*") if f.is_file() and f.name != ".lock"} == before

    mended = cli("doctor", run, "--repair")
    assert mended.code == 0
    lines = mended.stdout.splitlines()
    assert lines[: 1 + len(steps)] == [f"repair    of {run}, now:", *steps]
    assert plan is not None
    for name in (*plan.moved, *plan.copied):
        assert f"moved     {run}/damaged/1/{name}" in lines
        assert (run / "damaged/1" / name).read_bytes() == before[Path(name)]
    assert f"undo      before anything else: cp -a {run}/damaged/1/. {run}/" in lines

    subprocess.run(["cp", "-a", f"{run}/damaged/1/.", f"{run}/"], check=True)
    shutil.rmtree(run / "damaged")
    assert {f.relative_to(run): f.read_bytes() for f in run.rglob("*") if f.is_file() and f.name != ".lock"} == before


@pytest.mark.parametrize("operation", range(1, 40, 3))
def test_a_repair_that_is_killed_anywhere_loses_nothing_and_can_be_done_again(
    operation: int, cli: Cli, tmp_path: Path
) -> None:
    run = filled(tmp_path / "run")
    flip(run / "meter/tasks-1.parquet")
    before = {f.relative_to(run): f.read_bytes() for f in run.rglob("*") if f.is_file() and f.name != ".lock"}
    cli("doctor", run, "--repair", "--json", kill_at={"operation": operation, "half": operation % 2 == 0})
    assert cli("doctor", run, "--repair").code == 0
    left = {f.read_bytes() for f in run.rglob("*") if f.is_file()}
    assert set(before.values()) <= left
    assert RunRecords.open(run).finished_phases == ["iteration-0/evaluate"]


def test_what_is_intact_is_left_alone(tmp_path: Path) -> None:
    run = filled(tmp_path / "run")
    before = {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}
    assert repair(run) is None
    assert {f: f.read_bytes() for f in run.rglob("*") if f.is_file()} == before


@pytest.mark.parametrize("name", ["manifest.json", "manifest.copy.json"])
def test_every_byte_of_the_manifest_is_guarded_and_either_copy_is_enough(name: str, tmp_path: Path) -> None:
    run = filled(tmp_path / "run")
    whole = (run / name).read_bytes()
    for at in range(0, len(whole), 97):
        data = bytearray(whole)
        data[at] ^= 0x10
        (run / name).write_bytes(data)
        assert [one.file for one in diagnose(run).damage] == [name], at
        repair(run)
        assert (run / name).read_bytes() == whole, at
    for torn in (b"", whole[: len(whole) // 2]):
        (run / name).write_bytes(torn)
        repair(run)
        assert (run / name).read_bytes() == whole


def test_without_any_manifest_there_is_no_way_back_and_that_is_said(tmp_path: Path) -> None:
    run = filled(tmp_path / "run")
    for name in ("manifest.json", "manifest.copy.json"):
        flip(run / name)
    found = diagnose(run)
    assert (found.status, found.repair) == (None, None)
    with pytest.raises(RunError, match="damaged both") as caught:
        repair(run)
    assert f"coevolve run --config {run}/config.yaml" in caught.value.fix


def test_a_run_that_is_worked_on_is_not_repaired(tmp_path: Path) -> None:
    run = filled(tmp_path / "run")
    flip(run / "meter/tasks-0.parquet")
    holding = f"""
import sys
from pathlib import Path
from coevolve.store.lock import FolderLock
lock = FolderLock(Path({str(run)!r}))
print("held", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert diagnose(run).writer == process.pid
        with pytest.raises(RunError, match=f"process {process.pid}"):
            repair(run)
    finally:
        process.communicate()
    assert diagnose(run).writer is None


def test_another_base_model_is_said(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", CoevolutionConfig())
    folder.set_status("running", base="0" * 12)
    folder.close()
    assert "not the one this run began with" in str(diagnose(tmp_path / "run").base_fault)
