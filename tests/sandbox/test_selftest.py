"""A machine that cannot confine snippets is told so before any runs."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from coevolve.errors import SandboxUnavailable
from coevolve.sandbox import pool as pool_module
from coevolve.sandbox import selftest
from coevolve.sandbox.base import Limits, Status, ToolResult
from coevolve.sandbox.layers import REQUIRED
from coevolve.sandbox.pool import SandboxPool
from coevolve.sandbox.selftest import Finding

LAYERS = {**dict.fromkeys(REQUIRED, "on"), "namespaces": "on: mount"}


def _without(layer: str) -> pool_module.Probe:
    return lambda run: (Finding("walk through", layer, False, "succeeded"),)


def _answers(code: str) -> Callable[[str], ToolResult]:
    return lambda _: ToolResult(Status.OK, code, "", False, 0, None, 1.0, 1.0)


def test_every_required_layer_is_found_here(pool: SandboxPool) -> None:
    assert set(pool.layers) > set(REQUIRED)
    assert all(pool.layers[name].startswith("on") for name in REQUIRED)
    assert not pool.unsafe


@pytest.mark.parametrize("layer", REQUIRED)
def test_a_missing_layer_refuses_to_start_and_says_what_to_do(layer: str) -> None:
    with pytest.raises(SandboxUnavailable) as caught:
        SandboxPool(probe=_without(layer))
    assert f"{layer} is missing: in force, but a snippet could walk through" in caught.value.what
    assert caught.value.where
    for way in ("sandbox.backend=remote", "sandbox.url=http://host:port", "unsafe=True"):
        assert way in caught.value.fix


@pytest.mark.parametrize(("call", "layer"), [("landlock_create_ruleset", "landlock"), ("seccomp", "seccomp")])
def test_a_kernel_without_a_layer_is_recognised(elsewhere: Callable[..., str], call: str, layer: str) -> None:
    script = f"""
try:
    SandboxPool(namespaces=False)
except SandboxUnavailable as error:
    print(error.what)
with SandboxPool(unsafe=True, namespaces=False) as pool:
    print(pool.run("print(6*7)").stdout, end="")
    print(pool.layers[{layer!r}])
    print(pool.layers["unsafe"])
    print(sorted({{finding.layer for finding in pool.findings if not finding.passed}}))
"""
    refusal, answer, state, unsafe, leaky = elsewhere(script, {call: 38}).splitlines()
    reason = f"[Errno 38] {call}: Function not implemented"
    assert refusal == f"Snippets cannot be confined here: {layer} is missing: {reason}."
    assert answer == "42"
    assert state == f"missing: {reason}"
    assert unsafe == f"yes, missing: {layer} ({reason})"
    assert leaky == str(sorted([layer, "namespaces"]))


def test_a_mount_namespace_takes_the_place_of_landlock(elsewhere: Callable[..., str], pool: SandboxPool) -> None:
    if not pool.layers["namespaces"].startswith("on"):
        pytest.skip("no namespaces here")
    script = """
with SandboxPool() as pool:
    print(pool.layers["landlock"])
    for code in ("open('/etc/passwd')", "open('/tmp/x', 'w')", "os.mkdir('/x')", "os.listdir('/proc')"):
        print(pool.run(f"import os\\ntry: {code}\\nexcept OSError as error: print(error.errno)").stdout, end="")
"""
    state, *errors = elsewhere(script, {"landlock_create_ruleset": 38}).splitlines()
    assert state.startswith("on, by the mount namespace (landlock is missing: [Errno 38]")
    assert errors == ["2", "1", "1", "2"]


def test_limits_reach_the_child() -> None:
    with SandboxPool(limits=Limits(memory_mb=64, open_files=32)) as pool:
        assert pool.run("bytearray(60 << 20)").status is Status.OK
        assert pool.run("bytearray(70 << 20)").status is Status.MEMORY


def test_unsafe_goes_on_and_warns_of_what_is_missing() -> None:
    with pytest.warns(UserWarning, match=r"UNSAFE.*: landlock \(in force, but a snippet could walk through"):
        pool = SandboxPool(unsafe=True, probe=_without("landlock"))
    with pool:
        assert pool.unsafe
        assert pool.layers["unsafe"].startswith("yes, missing: landlock (in force")
        assert pool.run("print(6*7)").stdout == "42\n"
        assert pool.stats.calls == 1
    with pytest.warns(UserWarning, match="nothing, all are in force"):
        SandboxPool(unsafe=True).close()


def test_the_probes_are_refused_here_and_say_with_what(pool: SandboxPool) -> None:
    required = [finding for finding in pool.findings if finding.layer in REQUIRED]
    assert len(required) >= 10
    assert all(finding.passed and finding.detail for finding in required)
    assert {finding.layer for finding in required} == set(REQUIRED) - {"no_new_privs"}


def test_the_probes_need_little_room() -> None:
    with SandboxPool(limits=Limits(output_bytes=64, memory_mb=16, cpu_s=0.2)) as pool:
        assert all(finding.passed for finding in pool.findings if finding.layer in REQUIRED)


def test_a_layer_that_lets_a_probe_through_counts_as_missing(pool: SandboxPool) -> None:
    words = ["1"] * len(pool.findings)
    for name, outcome in (("read a file", "done"), ("open a socket", "done"), ("use a terabyte", "NameError")):
        words[[finding.name for finding in pool.findings].index(name)] = outcome
    found = selftest.judge(LAYERS, selftest.probe(_answers(" ".join(words))))
    assert found["landlock"] == "missing: in force, but a snippet could read a file: succeeded"
    assert found["rlimits"].endswith("could use a terabyte: ended with NameError")
    assert list(selftest.missing(found)) == ["rlimits", "landlock", "seccomp"]
    with pytest.raises(SandboxUnavailable, match=r"rlimits is missing.* and landlock is missing.* and seccomp"):
        selftest.require(found)


def test_an_optional_layer_that_lets_a_probe_through_is_not_counted_on(pool: SandboxPool) -> None:
    leaky = (Finding("see a file", "namespaces", False, "succeeded"),)
    assert selftest.judge(LAYERS, leaky)["namespaces"].startswith("not available: in force, but")
    without = {**LAYERS, "landlock": "missing: no such call"}
    assert not selftest.missing(selftest.judge(without, ()))
    assert list(selftest.missing(selftest.judge({**without, "namespaces": "off"}, ()))) == ["landlock"]
    leaky = (Finding("read a file", "landlock", False, "succeeded"),)
    assert list(selftest.missing(selftest.judge(without, leaky))) == ["landlock"]


def test_probes_that_cannot_run_count_as_missing() -> None:
    crashed = ToolResult(Status.KILLED, "", "", False, None, 31, 1.0, 1.0)
    for findings in (selftest.probe(lambda _: crashed), selftest.probe(_answers("1 1"))):
        with pytest.raises(SandboxUnavailable, match=r"seccomp is missing: .* the probes ended with"):
            selftest.require(selftest.judge(LAYERS, findings))


def test_other_systems_are_refused_and_told_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxUnavailable, match="Linux") as caught:
        SandboxPool(unsafe=True)
    assert "sandbox.backend=remote" in caught.value.fix


def test_a_kernel_that_is_too_old_is_refused(elsewhere: Callable[..., str]) -> None:
    script = """
try:
    SandboxPool(unsafe=True)
except SandboxUnavailable as error:
    print(error.what, error.fix)
"""
    said = elsewhere(script, {"pidfd_open": 38})
    assert "Linux 5.3 is needed: pidfd_open: [Errno 38]" in said
    assert "sandbox.backend=remote" in said
