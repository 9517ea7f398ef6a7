"""A phase with a new name and no declarations, from the plan to the comparison, on the day it is written."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from coevolve.commands.compare import comparison_json
from coevolve.commands.results import print_summary
from coevolve.config import Config
from coevolve.evaluation.phase import run_reports
from coevolve.methods import registry
from coevolve.methods.agent0 import Agent0
from coevolve.methods.base import Phase, State
from coevolve.methods.registry import load_config
from coevolve.methods.reporting import PhaseCost, PhaseReport
from coevolve.monitor.alarms import alarms
from coevolve.monitor.forecast import Forecast, Stage
from coevolve.monitor.health import health
from coevolve.monitor.progress import PlainProgress
from coevolve.monitor.summary import logged, reports_of, summarise
from coevolve.report.build import build_report
from coevolve.runs.driver import start
from coevolve.runs.plan import planned
from coevolve.store.records import RunRecords
from coevolve.studies.comparison import read_runs
from coevolve.studies.side_by_side import side_by_side

SMALL = (
    "iterations=1",
    "proposer.steps=1",
    "proposer.questions=16",
    "pool.size=16",
    "solver.train=false",
    "evaluation.per_level=4",
    "evaluation.forced_fence=false",
    "evaluation.transfer_per_set=0",
    "evaluation.dialogues=0",
    "evaluation.pool_samples=0",
    "engine.workers=1",
)


class Distil:
    """A phase of which nobody has ever heard."""

    report = PhaseReport("distil")
    by_steps = False
    steps = 2

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def cost(self, config: Config) -> PhaseCost:
        return PhaseCost(answers=7, prompts=7)

    def run(self, state: State) -> list[Path]:
        for step in range(self.steps):
            state.store.log({"event": "distil_step", "iteration": self.iteration, "step": step + 1, "loss": 0.5 - step})
            state.progress.step(step + 1, {"loss": 0.5 - step})
        return []


class Distilled(Agent0):
    """Agent0 with one more phase, which the method does not even declare among its reports."""

    def phases(self, config: Config, iteration: int) -> list[Phase]:
        return [*super().phases(config, iteration), Distil(iteration)]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Two finished runs of the method, beside each other, and what the first one showed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "METHODS", {**registry.METHODS, "agent0": Distilled()})
        folder, shown = tmp_path_factory.mktemp("distilled"), io.StringIO()
        for name, seed in (("first", 0), ("second", 1)):
            config = load_config("nano", overrides=[*SMALL, f"seed={seed}", f"run.dir={folder / name}"])
            start(config, PlainProgress(shown if name == "first" else io.StringIO()))
        yield folder, shown.getvalue()


def config_of(run: Path) -> Config:
    return RunRecords.open(run).config


def test_it_is_planned_with_what_it_says_it_costs(lived: tuple[Path, str]) -> None:
    (plan,) = [phase for phase in planned(config_of(lived[0] / "first")) if phase.name == "iteration-1/distil"]
    assert (plan.trajectories, plan.prompts) == (7, 7)


def test_it_has_its_line_on_the_screen_and_its_part_of_the_summary(lived: tuple[Path, str]) -> None:
    folder, shown = lived
    assert "   distil       step 2  loss -0.5  (" in shown
    summary = summarise(folder / "first")
    assert summary["status"] == "finished"
    assert "iteration-1/distil" in summary["finished_phases"]  # type: ignore[operator]
    base, first = summary["iterations"]  # type: ignore[misc]
    assert base["distil"] is None
    assert first["distil"] == {"step": 2, "loss": -0.5}


def test_the_time_it_takes_is_forecast() -> None:
    clock = iter([0.0, 0.0, 4.0, 4.0])  # made, begun, one step done, asked
    forecast = Forecast([Stage.of(Distil(1)), Stage.of(Distil(2))], lambda: next(clock))
    forecast.begin((1, "distil"))
    forecast.advance(1)
    assert forecast.remaining_s() == pytest.approx(4 * 3)


def test_summary_health_and_alarms_go_past_it(lived: tuple[Path, str]) -> None:
    run = lived[0] / "first"
    folder, reports = RunRecords.open(run), reports_of(run)
    assert [report.name for report in reports][-1] == "distil"
    assert alarms(folder.metrics(), 1, reports) is not None
    assert health(logged(folder), folder.metrics(), reports)
    said = io.StringIO()
    print_summary(Console(file=said, width=120), summarise(run), reports)
    assert "held-out" in said.getvalue()


def test_it_is_compared_and_reported(lived: tuple[Path, str]) -> None:
    folder = lived[0]
    runs = read_runs([folder / "first", folder / "second"])
    compared = comparison_json(side_by_side(runs), runs)
    (setting,) = compared["settings"]  # type: ignore[misc]
    assert (setting["label"], setting["seeds"]) == ("first and 1 more", [0, 1])
    json.dumps(compared)
    assert "distil" in build_report(folder / "first").read_text(encoding="utf-8")


def test_reports_name_every_phase_of_a_run_once(lived: tuple[Path, str]) -> None:
    names = [report.name for report in run_reports(config_of(lived[0] / "first"))]
    assert sorted(names) == sorted(set(names))
