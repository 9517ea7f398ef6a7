"""What a run needs against what there is: positions, memory, disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coevolve.engine.planning.devices import Gpu
from coevolve.errors import ConfigError, EngineError, RunError
from coevolve.methods.registry import load_config
from coevolve.runs import room
from coevolve.runs.estimate import fit_of
from coevolve.runs.plan import Needs, needs_of, planned
from coevolve.runs.room import shortages, shortages_here, too_long
from coevolve.worlds.miniature.learner import MiniatureWorld

GB = 1_000_000_000
Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]


def needs(*overrides: str, preset: str = "nano") -> Needs:
    return needs_of(load_config(preset, None, overrides))


def found(asked: Needs, folder: Path, *, memory: int = 100 * GB, gpu: Gpu | None = None) -> list[Any]:
    return shortages(asked, fit_of(asked.shape, asked.load, gpu), gpu, memory, folder)


def test_texts_have_to_fit_into_the_positions_of_the_model() -> None:
    assert needs().positions == 512
    assert too_long(needs("sampling.max_tokens=448")) == []  # 64 for the prompt
    for key in ("sampling.max_tokens", "sampling.question_tokens"):
        (error,) = too_long(needs(f"{key}=449"))
        assert isinstance(error, ConfigError)
        assert "449 tokens after a prompt of up to 64 do not fit into the 512 positions" in error.what
        assert error.fix == "both at most 448"
    assert too_long(replace(needs("sampling.max_tokens=4000"), positions=None)) == []


def test_what_vllm_is_told_to_hold_is_a_limit_as_well() -> None:
    keys = ("engine.sampler=vllm", "engine.workers=1", "vllm.max_length=200")
    (error,) = too_long(needs(*keys))
    assert "vllm.max_length=200" in error.what
    assert too_long(needs(*keys[:2], "vllm.max_length=400")) == []
    assert too_long(needs("vllm.max_length=200")) == []  # not asked


def test_memory_is_that_of_the_machine(tmp_path: Path) -> None:
    asked = needs("engine.workers=2", preset="mini")
    fit = fit_of(asked.shape, asked.load, None)
    assert fit is not None
    assert found(asked, tmp_path, memory=fit.memory.peak) == []
    (error,) = found(asked, tmp_path, memory=fit.memory.peak - 1)
    assert isinstance(error, EngineError)
    assert "fewer engine.workers" in error.fix
    assert "the three keys that matter" in error.fix


def test_a_gpu_is_held_against_the_plan_and_none_against_nothing(tmp_path: Path) -> None:
    asked = needs(preset="qwen3-4b-1gpu")
    assert found(asked, tmp_path) == []  # no GPU: the plan is for another machine
    small, large = (Gpu("one", size * GB, size * GB, True) for size in (40, 80))
    assert found(replace(asked, fetched=0), tmp_path, gpu=large) == []
    (error,) = found(replace(asked, fetched=0), tmp_path, gpu=small)
    assert "68.8 of 40.0 GB on one" in error.what


def test_the_disk_has_to_hold_what_a_run_keeps_and_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_disk", lambda folder: 100_000_000)
    asked = replace(needs(), stored=99_000_000)
    assert found(asked, tmp_path) == []
    (error,) = found(replace(asked, stored=101_000_000), tmp_path)
    assert isinstance(error, RunError)
    assert "the run keeps 0.1 GB, and 0.1 GB of disk are free" in error.what
    (error,) = found(replace(asked, fetched=2_000_000), tmp_path / "not" / "there")
    assert "the run keeps 99.0 MB and downloads 2.0 MB" in error.what


def test_phases_that_are_finished_need_no_disk() -> None:
    config = load_config("nano")
    every = [phase.name for phase in planned(config)]
    whole, rest = needs_of(config), needs_of(config, every[:-1])
    assert whole.stored == sum(phase.disk_bytes for phase in planned(config))
    assert rest.stored == planned(config)[-1].disk_bytes
    assert needs_of(config, every).stored == 0


def test_presets_for_this_world_fit_here(tmp_path: Path) -> None:
    for name in ("nano", "mini", "mini-paper", "agent0-stable", "dialogues", "r-zero"):
        assert shortages_here(needs("engine.workers=2", preset=name), tmp_path) == [], name


def test_a_start_whose_answers_are_longer_than_the_model_leaves_nothing(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(MiniatureWorld(None).base_model(), model)
    content = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(content | {"max_position_embeddings": 200}))
    ended = cli(*tiny(tmp_path / "run", f"model.path={model}"))
    ended.assert_clear("do not fit into the 200 positions", "sampling.max_tokens", code=2)
    assert not (tmp_path / "run").exists()
    dry = cli(*tiny(tmp_path / "run", f"model.path={model}"), "--dry-run")
    dry.assert_clear("do not fit into the 200 positions", code=2)
