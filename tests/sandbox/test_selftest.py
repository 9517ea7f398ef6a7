"""A machine that cannot confine snippets is told so before any runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import pytest

from coevolve.errors import SandboxUnavailable
from coevolve.sandbox import pool as pool_module
from coevolve.sandbox import selftest
from coevolve.sandbox.base import Limits, Status, ToolResult
from coevolve.sandbox.confine import REQUIRED
from coevolve.sandbox.pool import SandboxPool


def _without(layer: str) -> pool_module.Probe:
    def probe(run: Callable[[str], ToolResult], layers: Mapping[str, str]) -> dict[str, str]:
        return {**layers, layer: "missing: Function not implemented"}

    return probe


def test_every_required_layer_is_found_here(pool: SandboxPool) -> None:
    assert set(pool.layers) > set(REQUIRED)
    assert all(pool.layers[name].startswith("on") for name in REQUIRED)
    assert not pool.unsafe


@pytest.mark.parametrize("layer", REQUIRED)
def test_a_missing_layer_refuses_to_start_and_says_what_to_do(layer: str) -> None:
    with pytest.raises(SandboxUnavailable) as caught:
        SandboxPool(probe=_without(layer))
    assert layer in caught.value.what
    assert "Function not implemented" in caught.value.what
    assert caught.value.where
    assert "unsafe=True" in caught.value.fix


@pytest.mark.parametrize(("call", "layer"), [("landlock_create_ruleset", "landlock"), ("seccomp", "seccomp")])
def test_a_kernel_without_a_layer_is_recognised(elsewhere: Callable[..., str], call: str, layer: str) -> None:
    script = f"""
try:
    SandboxPool()
except SandboxUnavailable as error:
    print(error.what)
with SandboxPool(unsafe=True) as pool:
    print(pool.run("print(6*7)").stdout)
    print(pool.layers[{layer!r}])
"""
    refusal, answer, _, state = elsewhere(script, {call: 38}).split("\n", 3)
    assert refusal.startswith(f"Snippets cannot be confined here: {layer} is missing: [Errno 38] {call}")
    assert answer == "42"
    assert state.strip() == f"missing: [Errno 38] {call}: Function not implemented"


def test_unsafe_goes_on_and_warns_loudly() -> None:
    with pytest.warns(UserWarning, match="UNSAFE"):
        pool = SandboxPool(unsafe=True, probe=_without("landlock"))
    with pool:
        assert pool.unsafe
        assert pool.run("print(6*7)").stdout == "42\n"
        assert pool.stats.calls == 1


def test_a_layer_that_lets_a_probe_through_counts_as_missing() -> None:
    layers = dict.fromkeys(REQUIRED, "on")
    leaky = ToolResult(Status.OK, "landlock\nseccomp\nseccomp\n", "", False, 0, None, 1.0, 1.0)
    found = selftest.probe(lambda _: leaky, layers)
    assert [layer for layer in REQUIRED if found[layer] != "on"] == ["landlock", "seccomp"]
    with pytest.raises(SandboxUnavailable, match="landlock is missing: in force, but"):
        selftest.require(found)


def test_probes_that_cannot_run_count_as_missing() -> None:
    crashed = ToolResult(Status.KILLED, "", "", False, None, 31, 1.0, 1.0)
    found = selftest.probe(lambda _: crashed, dict.fromkeys(REQUIRED, "on"))
    with pytest.raises(SandboxUnavailable, match="probes ended with killed"):
        selftest.require(found)


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxUnavailable, match="Linux"):
        SandboxPool(unsafe=True)


def test_limits_reach_the_child() -> None:
    with SandboxPool(limits=Limits(memory_mb=64, open_files=32)) as pool:
        assert pool.run("bytearray(60 << 20)").status is Status.OK
        assert pool.run("bytearray(70 << 20)").status is Status.MEMORY
