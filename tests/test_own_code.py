"""The complete examples of the documentation, run as they stand there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
SMALL = """
iterations: 1
engine: {workers: 1}
evaluation: {per_level: 2, samples: 2, transfer_per_set: 2, transfer_samples: 1, forced_fence: false}
"""


def coevolve(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "coevolve", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    return tmp_path


def write_example(page: str, folder: Path) -> None:
    (block,) = re.findall(
        r"^```python\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert block.count("\n") <= 80
    (folder / "my_module.py").write_text(block, encoding="utf-8")


def test_the_idea_of_the_page_runs_to_its_report(folder: Path) -> None:
    write_example("own-idea.md", folder)
    names = {"reward.extra": "brevity", "gate.rule": "clear_lead", "objective": "trusting"}
    settings = [word for key, name in names.items() for word in ("--set", f"{key}=my_module:{name}")]
    coevolve(folder, "run", "--preset", "nano", "--config", "small.yaml", "--set", "run.dir=run", "--quiet", *settings)
    rows = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    (step,) = (row for row in rows if row["event"] == "curriculum_step")
    assert 0 <= step["r_extra"]["my_module:brevity"] <= 0.2
    (pool,) = (row for row in rows if row["event"] == "pool")
    assert pool["reasons"]["refused"] >= 0
    assert (folder / "run/report/index.html").is_file()


def test_the_method_of_the_page_runs_to_its_report(folder: Path) -> None:
    write_example("own-method.md", folder)
    settings = ["--config", "small.yaml", "--set", "world=my_module:Sums", "--set", "run.dir=run"]
    coevolve(folder, "run", "my_module:Practice", *settings, "--quiet")
    summary = json.loads(coevolve(folder, "summary", "run", "--json"))
    assert summary["method"] == "my_module:Practice"
    assert 0 <= summary["iterations"][1]["practise"]["reward"] <= 1
    assert (folder / "run/report/index.html").is_file()
