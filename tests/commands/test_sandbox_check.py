"""``coevolve sandbox check``: the exit code says whether model code may run, the text why not and what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from coevolve.cli import app
from coevolve.sandbox.layers import REQUIRED


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["sandbox", "check", *arguments], catch_exceptions=False)


def on_a_kernel_without(call: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process whose kernel answers ENOSYS to this call, and has no namespaces to replace it."""
    script = f"""
import platform, struct, sys
from coevolve.cli import app
from coevolve.sandbox import confine
from coevolve.sandbox import syscalls
machine = platform.machine()
number = syscalls.numbers(machine)[{call!r}]
program = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7FFF0000)]
confine.no_new_privileges()
confine.SystemCallFilter(machine, b"".join(struct.pack("=HBBI", *line) for line in program)).load()
app(["sandbox", "check", "--set", "sandbox.namespaces=off", *{arguments!r}])
"""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)


def test_a_machine_with_all_layers_may_run_model_code() -> None:
    called = call("--json")
    assert called.exit_code == 0
    content: dict[str, Any] = json.loads(called.stdout)
    assert content["ok"] is True
    assert content["refusal"] is None
    assert all(content["layers"][name]["on"] and content["layers"][name]["required"] for name in REQUIRED)
    required = [probe for probe in content["probes"] if probe["layer"] in REQUIRED]
    assert len(required) > 5
    assert all(probe["passed"] and probe["name"] and probe["detail"] for probe in required)
    times = content["latency_ms"]
    assert set(times) >= {"start", "print_p50", "print_p99", "session_cell_p50"}
    assert 0 < times["print_p50"] <= times["print_p99"] < 10_000
    assert times["kill_after_wall_deadline"] > 0
    assert times["kill_after_cpu_limit"] > 0


def test_people_get_tables() -> None:
    called = call("--set", "sandbox.preload=[numpy]")
    assert called.exit_code == 0
    assert called.stdout.rstrip().endswith("model code may run here")
    for word in (*REQUIRED, "required", "open a socket", "print p50", "numpy p50", "session cell p50"):
        assert word in called.stdout


@pytest.mark.parametrize(("kernel_call", "layer"), [("landlock_create_ruleset", "landlock"), ("seccomp", "seccomp")])
def test_a_missing_layer_is_shown_among_the_others_with_its_fix(kernel_call: str, layer: str) -> None:
    done = on_a_kernel_without(kernel_call, "--json")
    assert done.returncode == 1, done.stderr
    content = json.loads(done.stdout)
    assert content["ok"] is False
    assert [name for name, found in content["layers"].items() if found["required"] and not found["on"]] == [layer]
    assert layer in content["refusal"]["what"]
    let_through = {probe["layer"] for probe in content["probes"] if not probe["passed"]}
    assert let_through <= {layer, "namespaces"}
    assert content["refusal"]["fix"]


def test_people_are_told_the_fix() -> None:
    done = on_a_kernel_without("landlock_create_ruleset")
    assert done.returncode == 1
    assert "missing: " in done.stdout
    assert "may run here" not in done.stdout
    assert "error: Snippets cannot be confined here: landlock" in done.stderr
    assert "fix: " in done.stderr


def test_unsafe_is_allowed_and_said() -> None:
    done = on_a_kernel_without("landlock_create_ruleset", "--set", "sandbox.unsafe=true")
    assert done.returncode == 0, done.stderr
    assert "sandbox.unsafe: model code runs with whatever is on above" in done.stdout
    assert "missing: " in done.stdout
