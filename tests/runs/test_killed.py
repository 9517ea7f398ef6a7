"""A process that is really killed, at instants where an exception would still clean up."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coevolve.store.records import RunRecords

WORK = """
import os, signal, sys
from pathlib import Path
from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder
path, instant = Path(sys.argv[1]), sys.argv[2]

def reached(name):
    if name == instant:
        os.kill(os.getpid(), signal.SIGKILL)

rename = Path.replace
def replace(self, target):
    reached(f"before {Path(target).name}")
    rename(self, target)
Path.replace = replace

folder = RunFolder.open(path) if (path / "manifest.json").exists() else RunFolder.create(path, CoevolutionConfig())

def weights(inner):
    (inner / "model.bin").write_bytes(b"weights" * 1000)
    reached("half a checkpoint")
    (inner / "config.json").write_text("{}")

for t in (1, 2):
    phase = f"iteration-{t}/executor"
    if folder.records.is_done(phase):
        continue
    folder.begin(phase)
    folder.log({"event": "executor_step", "iteration": t})
    reached(f"logged {t}")
    saved = folder.save_folder(f"checkpoints/iteration-{t}/solver", weights)
    table = folder.write_table(f"tasks/iteration-{t}.parquet", [{"task_id": str(t)}])
    reached(f"before finish {t}")
    folder.finish(phase, [saved, table])
    reached(f"after finish {t}")
"""


def work(path: Path, instant: str) -> int:
    return subprocess.run([sys.executable, "-c", WORK, str(path), instant], check=False).returncode


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("unbroken") / "run"
    assert work(path, "never") == 0
    return path


@pytest.mark.parametrize(
    "instant",
    [
        "before config.yaml",
        "before manifest.json",
        "half a checkpoint",
        "before iteration-2.parquet",
        "logged 2",
        "before finish 1",
        "after finish 1",
    ],
)
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, unbroken: Path, instant: str) -> None:
    path = tmp_path / "run"
    assert work(path, instant) == -signal.SIGKILL
    assert work(path, "never") == 0
    RunRecords.open(path).verify()
    for file in ("metrics.jsonl", "manifest.json", "tasks/iteration-2.parquet"):
        assert (path / file).read_bytes() == (unbroken / file).read_bytes(), file
