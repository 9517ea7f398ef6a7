"""SPIRAL on the command line, small: what it trains on, what it keeps, and that a kill changes no byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.config.keys import values_by_key
from coevolve.errors import ConfigError
from coevolve.evaluation.play_figures import main_play
from coevolve.methods.phases.self_play import SelfPlay
from coevolve.methods.registry import load_config, method_named
from coevolve.store.records import RunRecords
from coevolve.worlds.games.build import write_model
from coevolve.worlds.games.catalogue import HELD_OUT_GAMES, TRAINED
from coevolve.worlds.miniature.training import Training

Cli = Callable[..., Any]
STEP = "self_play_step"
SMALL = [
    "iterations=2",
    "self_play.matches=4",
    "self_play.steps=2",
    "evaluation.matches=2",
    "engine.workers=1",
    "sampling.max_tokens=60",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model that has read next to nothing: quick to make, and what it plays does not matter here."""
    folder = tmp_path_factory.mktemp("games") / "base"
    write_model(folder, Training(seed=0, budget_tokens=3_000))
    return folder


def small(model: Path, run: Path, *more: str) -> list[str]:
    settings = [f"model.path={model}", f"run.dir={run}", *SMALL, *more]
    return ["run", "spiral", "--quiet", *(part for one in settings for part in ("--set", one))]


def rows(run: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in lines if row["event"] == event]


@pytest.fixture(scope="module")
def played(cli: Cli, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("spiral") / "run"
    ended = cli(*small(model, run))
    assert ended.code == 0, ended.stderr
    return run


def test_every_evaluation_measures_play_and_every_step_all_games(played: Path) -> None:
    measured = [row["play"] for row in rows(played, "evaluation")]
    assert len(measured) == 3
    for play in measured:
        assert set(play) == {"tictactoe_perfect", "kuhn", *(f"{x}_random" for x in ("negotiation", *HELD_OUT_GAMES))}
        assert 0 <= play["kuhn"]["exploitability"] <= 2
        assert 0 < play["kuhn"]["legal"] <= 1.000001
        assert play["tictactoe_perfect"]["win"] == 0
        assert play["nim_random"]["n"] == 4
    for step in rows(played, STEP):
        assert tuple(step["by_game"]) == TRAINED
        assert set(step["baselines"]) == {f"{game}/{seat}" for game in TRAINED for seat in (0, 1)}


def test_the_baselines_go_on_over_steps_and_iterations(played: Path) -> None:
    """In Kuhn poker the second seat gets what the first loses, illegal moves included, and so do the baselines."""
    steps = [row["baselines"] for row in rows(played, STEP)]
    assert len(steps) == 4
    for baselines in steps:
        for game in TRAINED:
            assert baselines[f"{game}/0"] == pytest.approx(-baselines[f"{game}/1"], abs=1e-12)
    for t, last in ((1, steps[1]), (2, steps[3])):
        table = RunRecords.open(played).read_table(f"baselines/iteration-{t}.parquet")
        assert {row["key"]: row["baseline"] for row in table} == pytest.approx(last, rel=1e-5)


@pytest.mark.slow
def test_it_is_killed_and_resumed_to_the_same_bytes(cli: Cli, model: Path, played: Path, tmp_path: Path) -> None:
    for n, (call, phase, when) in enumerate(
        [("save_point", "iteration-1/self_play", "after"), ("log", "iteration-2/self_play", "after")]
    ):
        run = tmp_path / f"killed-{n}"
        ended = cli(*small(model, run), fault={"method": call, "phase": phase, "when": when, "kind": "kill"})
        assert ended.code == -9, ended.stderr
        assert cli("resume", str(run), "--quiet").code == 0
        assert (run / "metrics.jsonl").read_bytes() == (played / "metrics.jsonl").read_bytes()
        weights = "checkpoints/iteration-2/solver/model.safetensors"
        assert (run / weights).read_bytes() == (played / weights).read_bytes()


@pytest.mark.parametrize("opponent", ["random", "past"])
def test_against_others_only_the_own_seat_learns(cli: Cli, model: Path, tmp_path: Path, opponent: str) -> None:
    run = tmp_path / opponent
    few = (f"self_play.opponent={opponent}", "evaluation.matches=0", "self_play.steps=1")
    ended = cli(*small(model, run, *few))
    assert ended.code == 0, ended.stderr
    for step in rows(run, STEP):
        assert step["tokens_trained"] <= step["tokens_sampled"]
        assert set(step["baselines"]) <= {f"{game}/{seat}" for game in TRAINED for seat in (0, 1)}


def test_the_presets_differ_in_what_an_illegal_move_pays_and_in_a_kl_term() -> None:
    paper, code = load_config("spiral"), load_config("spiral-code")
    assert (paper.self_play.illegal, code.self_play.illegal) == ([-1.0, 1.0], [-1.5, 0.5])  # type: ignore[attr-defined]
    same = {"preset": "", "self_play": None}
    assert paper.model_copy(update=same) == code.model_copy(update=same)
    phases = method_named("spiral").phases(paper, 1)
    assert [type(phase) for phase in phases] == [SelfPlay]
    assert not paper.has_reference, "no KL term"
    assert load_config("spiral-stable").has_reference
    known, stable = values_by_key(paper), values_by_key(load_config("spiral-stable"))
    assert {key for key in known if stable[key] != known[key]} == {"preset", "self_play.kl"}


@pytest.mark.parametrize("setting", ["world=miniature", "tool.enabled=true", "self_play.games=[kuhn, kuhn]"])
def test_what_makes_no_sense_is_refused_at_the_start(setting: str) -> None:
    with pytest.raises(ConfigError):
        load_config("spiral", None, [setting])


def test_other_methods_cannot_be_run_in_the_world_of_games() -> None:
    for preset in ("mini", "r-zero"):
        with pytest.raises(ConfigError, match="games"):
            load_config(preset, None, ["world=games"])


def test_a_line_names_the_main_contest_and_all_strategies() -> None:
    lost = {"win": 0.0, "loss": 0.9}
    play = {"tictactoe_perfect": lost, "nim_random": lost, "kuhn": {"exploitability": 0.3}, "pig_random": lost}
    assert [name for name, _ in main_play(play)] == ["tictactoe_perfect", "kuhn"]
    assert main_play(None) == []
