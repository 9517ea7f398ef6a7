"""Where a run comes from stands in its manifest and on its page, for every process that worked on it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import coevolve
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.registry import own_code
from coevolve.report.build import build_report, page_data
from coevolve.runs import provenance
from coevolve.runs.machine import used_versions
from coevolve.runs.masking import masked
from coevolve.runs.provenance import Code, code_of, described, started, starts_of, with_start
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A package in a checkout; returns the package."""
    package = tmp_path / "checkout" / "src" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("x = 1\n")
    (package.parent / "outside.py").write_text("y = 1\n")
    git(tmp_path, "init", "-q", "checkout")
    git(package, "add", "-A", "..")
    git(package, "commit", "-qm", "one")
    return package


def test_code_that_is_committed_has_a_commit_and_no_diff(checkout: Path) -> None:
    assert code_of(checkout) == Code(git(checkout, "rev-parse", "HEAD"), b"")


def test_a_diff_makes_the_code_again_from_its_commit_new_files_included(checkout: Path, tmp_path: Path) -> None:
    (checkout / "__init__.py").write_text("x = 2\n")
    (checkout / "new.py").write_text("z = 3\n")
    (checkout / "staged.py").write_text("s = 4\n")
    git(checkout, "add", "staged.py")
    (checkout.parent / "outside.py").write_text("no part of the package\n")
    code = code_of(checkout)
    git(tmp_path, "clone", "-q", "checkout", "copy")
    (tmp_path / "patch").write_bytes(code.diff)
    for line in ("outside", "no part"):
        assert line not in code.diff.decode()
    copy = tmp_path / "copy" / "src" / "package"
    parts = code.diff.decode().split("diff --git ")[1:]
    assert len(parts) == 3
    git(tmp_path / "copy", "apply", str(tmp_path / "patch"))
    assert {file.name: file.read_text() for file in copy.glob("*.py")} == {
        "__init__.py": "x = 2\n",
        "new.py": "z = 3\n",
        "staged.py": "s = 4\n",
    }


def test_looking_changes_nothing_in_the_checkout(checkout: Path) -> None:
    (checkout / "__init__.py").write_text("x = 2\n")
    index = checkout.parents[1] / ".git" / "index"
    before = (index.stat().st_mtime_ns, index.read_bytes())
    code_of(checkout)
    assert (index.stat().st_mtime_ns, index.read_bytes()) == before


def test_the_settings_of_a_checkout_run_no_program(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "spy").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "spy").chmod(0o755)
    for key in ("diff.external", "core.fsmonitor", "core.pager"):
        git(checkout, "config", key, str(tmp_path / "spy"))
    (checkout / "__init__.py").write_text("x = 2\n")
    assert b"+x = 2" in code_of(checkout).diff
    assert not (tmp_path / "ran").exists()


def test_code_outside_a_checkout_says_why_nothing_is_known(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "__init__.py").touch()
    assert code_of(tmp_path / "installed") == Code(None, b"", "the code is in no checkout")
    ignored = checkout / "site-packages"  # an environment within somebody's checkout
    ignored.mkdir()
    (ignored / "__init__.py").touch()
    assert code_of(ignored).unknown == "the code is in no checkout"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_of(checkout) == Code(None, b"", "git is not installed")


def test_a_start_says_command_time_code_packages_and_machine(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    start, diff = started(arguments=["/usr/bin/coevolve", "run", "agent0", "--set", "seed=3"])
    assert start["command"] == ["coevolve", "run", "agent0", "--set", "seed=3"]
    assert before <= datetime.fromisoformat(start["time"]) <= datetime.now(UTC)
    assert start["folder"] == os.getcwd()
    assert start["coevolve"] == coevolve.__version__
    assert {"torch", "numpy", "pydantic"} <= set(start["packages"])
    assert set(start["machine"]) == {"host", "system", "cpu", "cores", "memory_bytes", "gpus"}
    assert start["code"]["diff_sha256"] == (hashlib.sha256(diff).hexdigest() if diff else None)
    assert json.loads(json.dumps(start)) == start
    assert set(used_versions(["one>=1", "two; extra == 'more'", "three; extra == 'test'"], lambda name: "1.5")) == {
        "one",
        "two",
    }


def test_the_diff_is_kept_unless_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "code_of", lambda folder: Code("c0ffee", b"a change\n"))
    start, diff = started(arguments=["coevolve"])
    digest = hashlib.sha256(b"a change\n").hexdigest()
    assert start["code"]["diff"] == f"provenance/{digest[:12]}.patch"
    (kept,) = with_start(tmp_path, {}, start, diff)
    assert (tmp_path / kept["code"]["diff"]).read_bytes() == b"a change\n"
    monkeypatch.setattr(provenance, "MOST_DIFF", 5)
    start, diff = started(arguments=["coevolve"])
    assert (start["code"]["diff_sha256"], start["code"]["diff"]) == (digest, None)
    assert "too large to be kept" in described({"starts": [start]})


def test_a_module_of_ones_own_is_known_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("def reward():\n    return 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = CoevolutionConfig.model_validate({"reward": {"extra": ["mine:reward"]}})
    start, _ = started(own_code(config), arguments=["coevolve"])
    assert start["own_code"] == {"mine:reward": hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest()}


def test_a_later_start_repeats_only_what_changed_and_is_read_in_full(tmp_path: Path) -> None:
    start, diff = started(arguments=["coevolve", "run"])
    facts = {"starts": with_start(tmp_path, {}, start, diff)}
    again, _ = started(arguments=["coevolve", "resume", "RUN"])
    again["packages"] = again["packages"] | {"torch": "9.9"}
    facts = {"starts": with_start(tmp_path, facts, again, diff)}
    assert set(facts["starts"][1]) == {"time", "command", "folder", "packages"}
    assert starts_of(facts) == [start, again]
    text = described(facts)
    assert text.index("command   coevolve run") < text.index("command   coevolve resume RUN")
    assert text.count("machine   ") == 1
    assert text.count("torch") == 2


def test_a_run_of_an_older_version_says_nothing() -> None:
    assert starts_of({"base": "c0ffee"}) == []
    assert described({}) == ""


SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--token", SECRET],
        ["run", f"--token={SECRET}"],
        ["run", "--hub-token", SECRET],
        ["run", "--set", f"track.api_key={SECRET}"],
        ["run", f"--set=track.password={SECRET}"],
        ["run", "--set", f"sandbox.url=https://me:{SECRET}@example.org/x"],
        ["run", "--set", f"sandbox.url=https://example.org/x?token={SECRET}&n=1"],
        ["run", "--set", f"sandbox.url=https://example.org/x?n=1&api_key={SECRET}"],
        ["run", "--set", f'extra={{"token": "{SECRET}"}}'],
        ["run", "--set", f"extra=Bearer {SECRET}"],
        ["run", "--set", f"name=has-{SECRET}-in-it"],
        ["run", f"AWS_SECRET={SECRET}"],
    ],
)
def test_secrets_are_hidden(arguments: list[str]) -> None:
    shown = masked(["coevolve", *arguments], {"MY_TOKEN": SECRET})
    assert SECRET not in " ".join(shown)
    assert "***" in " ".join(shown)
    if "name=" not in arguments[-1]:
        assert SECRET not in " ".join(masked(["coevolve", *arguments], {}))


@pytest.mark.parametrize(
    "shape",
    [
        "hf_" + "a1" * 17,
        "ghp_" + "b2" * 18,
        "sk-" + "c3" * 20,
        "AKIA" + "D4" * 8,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ],
)
def test_known_kinds_of_tokens_are_hidden_wherever_they_stand(shape: str) -> None:
    assert masked(["coevolve", "run", "--set", f"model.path={shape}"], {}) == [
        "coevolve",
        "run",
        "--set",
        "model.path=***",
    ]


def test_what_only_sounds_like_a_secret_is_shown() -> None:
    command = [
        "coevolve",
        "run",
        "token:MyMethod",
        "--set",
        "sampling.max_tokens=512",
        "--set",
        "engine.micro_batch_tokens=4096",
        "--set=sampling.question_tokens=64",
        "--set",
        "tool.observation_tokens=128",
        "--set",
        "run.dir=/data/keys/monkey",
        "--set",
        "model.path=Qwen/Qwen3-4B",
        "--preset",
        "qwen3-4b-1gpu",
    ]
    assert masked(command, {"TOKENIZERS_PARALLELISM": "false", "LANG": "token:MyMethod"}) == command


def test_manifest_and_page_have_every_start_and_the_metrics_have_no_clock(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ["iterations=1", "evaluation.forced_fence=false"]
    stop = {"method": "finish", "phase": "iteration-0/evaluate", "when": "after", "kind": "kill"}
    command = tiny(run, *small)
    assert cli(*command, fault=stop).code == -9
    begun = {"method": "begin", "phase": None, "when": "after", "kind": "kill"}
    assert cli("resume", run, "--quiet", fault=begun).code == -9
    starts = json.loads((run / "manifest.json").read_text())["starts"]
    assert [start["command"] for start in starts] == [
        ["coevolve", *command],
        ["coevolve", "resume", str(run), "--quiet"],
    ]
    text = build_report(run).read_text()
    shown = page_data(RunRecords.open(run))["run"]["provenance"]
    assert f"command   coevolve resume {run} --quiet" in shown
    assert json.dumps(shown)[1:60] in text
    metrics = (run / "metrics.jsonl").read_text()
    assert not any(word in metrics for word in (starts[0]["time"], "starts", "time"))


def test_a_manifest_with_starts_is_read_as_it_was_written(fabricated: Callable[..., Path], tmp_path: Path) -> None:
    run = fabricated(tmp_path / "run")
    folder = RunFolder.open(run)
    start, diff = started(arguments=["coevolve", "run"])
    folder.set_status("finished", starts=with_start(run, {}, start, diff))
    folder.close()
    assert starts_of(RunRecords.open(run).facts) == [start]
