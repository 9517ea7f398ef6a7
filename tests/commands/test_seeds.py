"""``coevolve run --seeds``: a run per seed, taken up again by the same command and by ``coevolve resume``."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.commands import running
from coevolve.errors import ConfigError, RunError
from coevolve.methods.registry import load_config
from coevolve.store import manifest
from coevolve.studies.comparison import read_runs
from coevolve.studies.seeds import Member, member_path, seeds_of, stem_of, waits_for_others

Fabricated = Callable[..., Path]
Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]
SET = {"run": {"seeds": [0, 1]}}


def test_a_killed_set_goes_on_and_is_one_setting(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    command = [*tiny(tmp_path, "iterations=1"), "--seeds", "0,1"]
    command = [one for one in command if not one.startswith("--set=run.dir")]
    kill = {"method": "finish", "phase": "iteration-1/pool", "when": "after", "kind": "kill"}
    assert cli(*command, cwd=tmp_path, fault=kill).code == -signal.SIGKILL
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["agent0-nano-s0"]
    ended = cli("resume", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    content = json.loads(ended.stdout)
    folders = [tmp_path / run["run"] for run in content["runs"]]
    assert [folder.name for folder in folders] == ["agent0-nano-s0", "agent0-nano-s1"]
    assert [manifest.read(folder).seed for folder in folders] == [0, 1]
    assert {label: [run.seed for run in mine] for label, mine in read_runs(folders).items()} == {"agent0-nano": [0, 1]}
    assert content["comparison"]["settings"][0]["seeds"] == [0, 1]
    assert cli("resume", cwd=tmp_path).stderr.startswith("error: there is no unfinished run")
    again = cli(*(one for one in command if one != "--quiet"), cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert again.stdout.count("is finished already") == 2
    assert any(line.split()[:3] == ["agent0-nano", "0,", "1"] for line in again.stdout.splitlines())
    other = cli(*command, "--set", "gate.lower=0.2", cwd=tmp_path)
    other.assert_clear("gate.lower is 0.25, not 0.2", "run.name")


def test_seeds_are_different_numbers_and_stand_for_the_key() -> None:
    assert seeds_of("3,0,12") == [3, 0, 12]
    assert running.seeds_as_override(None, "0,1", ["gate.lower=0.4"]) == ["run.seeds=[0, 1]"]
    assert running.seeds_as_override(None, None, ["seed=3"]) == []
    assert running.seeds_as_override(3, None, []) == ["seed=3"]
    for text in ("", "a", "1,-2", "1,1", "1;2"):
        with pytest.raises(ConfigError):
            seeds_of(text)
    with pytest.raises(ConfigError, match="both --seeds and the key seed"):
        running.seeds_as_override(None, "0,1", ["seed = 3"])
    with pytest.raises(ConfigError, match="both --seed and --seeds"):
        running.seeds_as_override(3, "0,1", [])


def test_folders_of_a_set_share_what_stands_before_the_seed() -> None:
    assert member_path(Path("runs/mini"), 12) == Path("runs/mini-s12")
    assert stem_of(Path("runs/mini-s12"), 12) == Path("runs/mini")
    assert stem_of(Path("runs/mini-s12"), 1) is None
    assert stem_of(Path("runs/copy"), 12) is None


def test_a_set_waits_until_all_of_it_is_finished(
    fabricated: Fabricated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = fabricated(Path("runs/a-s0"), **SET)
    alone = fabricated(Path("runs/b-s0"))
    assert waits_for_others(first, {"seeds": [0, 1]}, 0)
    assert not waits_for_others(alone, {"seeds": []}, 0)
    assert not waits_for_others(alone, {}, 0)  # of a version that knew no sets
    assert running.unfinished_runs() == [first]
    second = fabricated(Path("runs/a-s1"), seed=1, finished=False, **SET)
    os.utime(second / manifest.NAME, (1, 1))
    assert running.unfinished_runs() == [first, second]
    third = fabricated(Path("runs/c-s1"), seed=1, finished=False, run={"seeds": [1]})
    os.utime(third / manifest.NAME, (2, 2))
    assert running.unfinished_runs() == [first, third, second]


def test_a_member_knows_how_far_it_is(fabricated: Fabricated, tmp_path: Path) -> None:
    config = load_config("nano", None, ["seed=1", "run.seeds=[0, 1]"])
    assert Member(tmp_path / "a-s1", config).state() == "missing"
    values = config.model_dump()
    done = fabricated(tmp_path / "b-s1", **values)
    assert Member(done, config).state() == "finished"
    values["engine"]["workers"] = 2  # as the machine had cores
    begun = fabricated(tmp_path / "c-s1", means=(0.1, 0.2), finished=False, **values)
    assert Member(begun, config).state() == "unfinished"
    values["gate"]["lower"] = 0.1
    with pytest.raises(RunError, match=r"gate\.lower is 0\.1, not 0\.25"):
        Member(fabricated(tmp_path / "d-s1", **values), config).state()
    with pytest.raises(RunError, match="seed is 1, not 0"):
        Member(done, config.model_copy(update={"seed": 0})).state()


def test_the_plan_of_a_set_says_how_many_runs_it_is(cli: Cli, tmp_path: Path) -> None:
    ended = cli("run", "--preset", "nano", "--seeds", "4,5", "--dry-run", cwd=tmp_path)
    assert ended.code == 0
    assert "2 such runs, one after the other: runs/agent0-nano-s4, runs/agent0-nano-s5" in ended.stdout.replace(
        "\n", " "
    )
    assert not any(tmp_path.iterdir())
