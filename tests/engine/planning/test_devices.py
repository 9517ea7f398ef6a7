"""Which device a run uses, and that one that is not there is refused before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from coevolve.cli import app
from coevolve.engine.planning import devices
from coevolve.errors import ConfigError
from coevolve.methods.registry import load_config
from coevolve.rollout.service import worker_count


def test_a_run_on_a_gpu_that_is_not_there_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", list)
    folder = tmp_path / "run"
    result = CliRunner().invoke(app, ["run", "--set", "engine.device=cuda", "--set", f"run.dir={folder}"])
    assert result.exit_code == 2
    assert "engine.device=cuda" in result.stderr
    assert "coevolve doctor" in result.stderr
    assert not folder.exists()


def test_one_process_uses_the_gpu() -> None:
    assert worker_count(load_config(overrides=["engine.device=cuda"]).engine) == 1
    assert worker_count(load_config(overrides=["engine.workers=3"]).engine) == 3
    with pytest.raises(ConfigError, match="used by one process"):
        load_config(overrides=["engine.device=cuda", "engine.workers=2"])
