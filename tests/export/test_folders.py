"""An export is whole or not there, overwrites nothing, and says what it is of."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from coevolve.errors import ConfigError, RunError
from coevolve.export import folders
from coevolve.export.folders import export
from coevolve.methods.config import CoevolutionConfig

MakeRun = Callable[..., Path]


def test_the_command_names_folders_and_how_to_push_them(
    cli: Callable[..., object], finished: Path, tmp_path: Path
) -> None:
    ended = cli("export", finished, "--to", tmp_path / "out", "--json")
    assert ended.code == 0, ended.stderr  # type: ignore[attr-defined]
    said = json.loads(ended.stdout)  # type: ignore[attr-defined]
    assert set(said["folders"]) == {"proposer", "solver", "dataset"}
    assert all((Path(folder) / "README.md").is_file() for folder in said["folders"].values())
    assert said["notes"] == []
    assert [command.startswith("hf upload ") for command in said["commands"]] == [True] * 3
    assert sum("--repo-type dataset" in command for command in said["commands"]) == 1
    again = cli("export", finished, "--to", tmp_path / "out")
    again.assert_clear("exists already", code=2)  # type: ignore[attr-defined]


def test_an_unfinished_run_is_exported_up_to_its_newest_agents_and_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("run", "curriculum", "pool", "executor", "evaluate")
    done = export(run, tmp_path / "out")
    assert done.iteration == 1
    assert done.notes == ("the run is not finished (interrupted)", "the agents are those of iteration 1 of 2")
    text = (done.folders["solver"] / "README.md").read_text()
    assert "after iteration 1" in text


def test_a_run_without_agents_or_data_says_what_to_do(make_run: MakeRun, tmp_path: Path) -> None:
    started = make_run("started", "curriculum")
    with pytest.raises(RunError, match="no iteration of this run has finished training") as caught:
        export(started, tmp_path / "out")
    assert "coevolve resume" in caught.value.fix
    with pytest.raises(RunError, match="no finished pool"):
        export(started, tmp_path / "out", ["dataset"])
    assert not (tmp_path / "out").exists()


def test_an_iteration_without_agents_is_refused_with_those_that_there_are(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="iteration 2 has no trained agents") as caught:
        export(make_run("run", "curriculum", "pool", "executor"), tmp_path / "out", iteration=2)
    assert caught.value.fix == "--iteration one of: 1"


def test_an_agent_that_was_not_trained_is_named_and_left_out(make_run: MakeRun, tmp_path: Path) -> None:
    still = CoevolutionConfig().proposer.model_copy(update={"train": False})
    run = make_run("run", "pool", "executor", config=CoevolutionConfig(iterations=1, proposer=still))
    done = export(run, tmp_path / "out", ["models"])
    assert list(done.folders) == ["solver"]
    assert any("the curriculum agent was not trained" in note for note in done.notes)


@pytest.mark.parametrize("what", [[], ["weights"], ["models", "everything"]])
def test_what_cannot_be_exported_is_refused(what: list[str], make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        export(make_run("run"), tmp_path / "out", what)
    assert caught.value.fix == "--what models,dataset, or one of them"


def test_a_damaged_checkpoint_or_table_is_never_exported(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("run", "curriculum", "pool", "executor")
    for name, what in (
        ("checkpoints/iteration-1/solver/model.safetensors", "models"),
        ("meter/tasks-1.parquet", "dataset"),
    ):
        file = run / name
        whole = file.read_bytes()
        file.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
        with pytest.raises(RunError, match="was changed") as caught:
            export(run, tmp_path / "out", [what])
        assert caught.value.where == str(file)
        file.write_bytes(whole)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing_behind(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folders, "write_dataset", full)
    run = make_run("run", "curriculum", "pool", "executor")
    with pytest.raises(RunError, match="the disk is full"):
        export(run, tmp_path / "into" / "out")
    assert list((tmp_path / "into").iterdir()) == []
