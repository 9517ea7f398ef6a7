"""The command line: what it prints, how it ends, and that a person always learns what to do next."""

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner, Result

import coevolve
import coevolve.runs
from coevolve.cli import app
from coevolve.commands import faults
from coevolve.commands.answer import print_answer
from coevolve.commands.plan import plan_json, print_costs, print_settings
from coevolve.commands.results import print_ending, print_summary
from coevolve.config import Config
from coevolve.errors import EngineError
from coevolve.evaluation.phase import run_reports
from coevolve.grading.refused import REFUSALS
from coevolve.methods.registry import load_config
from coevolve.monitor.progress import duration
from coevolve.runs.plan import PlannedPhase
from coevolve.store.folder import RunFolder
from coevolve.types import StopReason, ToolCall, Trajectory

REPORTS = run_reports(load_config())
SUMMARY = {
    "method": "agent0",
    "preset": "mini",
    "seed": 0,
    "wall_s": 228.0,
    "cpu_s": 420.0,
    "iterations": [
        {
            "iteration": 0,
            "held_out": {
                "mean_at_8": 0.074,
                "maj_at_8": 0.1,
                "greedy": 0.08,
                "tool_calls": 0.9,
                "ci95": [0.06, 0.09],
            },
            "pool": None,
        },
        {
            "iteration": 1,
            "held_out": {
                "mean_at_8": 0.46,
                "maj_at_8": 0.5,
                "greedy": 0.48,
                "tool_calls": 2.4,
                "ci95": [0.43, 0.49],
            },
            "pool": {"size": 256, "kept": 74, "label_accuracy_kept": 0.93, "first_executor_pass_rate": None},
        },
    ],
    "tokens": {"sampled": 1234567, "trained": None},
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(faults, "_current", {})


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def printed(show: Callable[[Console], None]) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=140, color_system=None))
    return stream.getvalue()


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A driver that makes a run folder and then does what the test sets as ``then``."""

    def start(config: Config, progress: object, began: Callable[[Path], None]) -> Path:
        path = Path(config.run.dir or "runs/agent0-0")
        RunFolder.create(path, config).close()
        began(path)
        fake.then()
        return path

    def resume(path: Path, progress: object) -> Path:
        fake.resumed.append(path)
        return path

    fake = SimpleNamespace(start=start, resume=resume, then=lambda: None, resumed=[])
    monkeypatch.setitem(sys.modules, "coevolve.runs.driver", fake)
    monkeypatch.setattr(coevolve.runs, "driver", fake, raising=False)
    return fake


def raising(error: BaseException) -> Callable[[], None]:
    def then() -> None:
        raise error

    return then


def test_help_names_every_command() -> None:
    text = call("--help").output
    assert all(f"\n  {name}" in text for name in ("run", "resume", "summary", "report", "solve", "config", "world"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "agent1"), "did you mean agent0?"),
        (("run", "--preset", "minni"), "did you mean mini?"),
        (("run", "--set", "reward.lambda_tol=1"), "did you mean reward.lambda_tool?"),
        (("run", "--set", "gate.lower=2"), "allowed: number from 0 to 1"),
        (("run", "--config", "absent.yaml"), "absent.yaml"),
        (("config", "gat"), "did you mean gate?"),
    ],
)
def test_a_mistake_ends_with_code_2_and_the_way_out(arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [("resume",), ("resume", "nowhere"), ("summary", "nowhere")])
def test_a_run_that_is_not_there_ends_with_code_1(arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "fix: " in result.stderr


def test_config_lists_keys_with_default_range_and_meaning() -> None:
    text = " ".join(call("config", "gate").output.split())
    assert "gate.lower 0.3 number from 0 to 1" in text
    assert "reward.lambda_tool" not in text
    assert "reward.lambda_tool" in call("config").output


def test_ctrl_c_ends_with_130_and_the_command_that_goes_on(driver: SimpleNamespace) -> None:
    driver.then = raising(KeyboardInterrupt())
    result = call("run", "--quiet")
    assert result.exit_code == 130
    assert "resume with: coevolve resume runs/agent0-0" in result.stderr
    assert "Traceback" not in result.output


def test_ctrl_c_names_the_folder_that_was_asked_for(driver: SimpleNamespace) -> None:
    driver.then = raising(KeyboardInterrupt())
    assert "coevolve resume here" in call("run", "--quiet", "--set", "run.dir=here").stderr


def test_a_full_disk_says_so(driver: SimpleNamespace) -> None:
    driver.then = raising(OSError(errno.ENOSPC, "No space left on device", "runs/x/metrics.jsonl"))
    result = call("run", "--quiet")
    assert result.exit_code == 1
    assert "the disk is full" in result.stderr
    assert "runs/x/metrics.jsonl" in result.stderr
    assert "coevolve resume runs/agent0-0" in result.stderr


def test_an_error_of_ours_is_shown_in_its_three_parts(driver: SimpleNamespace) -> None:
    driver.then = raising(EngineError("sampler and trainer disagree", where="iteration-1/executor", fix="report it"))
    result = call("run", "--quiet")
    assert result.exit_code == 1
    assert result.stderr == "error: sampler and trainer disagree\n  in iteration-1/executor\n  fix: report it\n"


def test_a_fault_that_only_we_can_mend_keeps_its_traceback(driver: SimpleNamespace) -> None:
    driver.then = raising(BrokenPipeError())  # not of stdout: a worker, say
    with pytest.raises(BrokenPipeError):
        call("run", "--quiet")


def test_resume_takes_the_newest_run_that_is_not_finished(driver: SimpleNamespace) -> None:
    for age, name in enumerate(("newest", "done", "older")):
        folder = RunFolder.create(Path("runs") / name, load_config())
        folder.begin("iteration-0/evaluate")
        folder.finish("iteration-0/evaluate", [])
        folder.set_status("finished" if name == "done" else "interrupted")
        folder.close()
        os.utime(Path("runs") / name / "manifest.json", (1000 - age, 1000 - age))
    driver_error = raising(EngineError("stop here"))
    driver.resume = lambda path, progress: (driver.resumed.append(path), driver_error())
    call("resume", "--quiet")
    assert driver.resumed == [Path("runs/newest")]


def test_the_plan_shows_a_configuration_that_can_be_used_and_what_it_costs(tmp_path: Path) -> None:
    config = load_config("nano")
    phase = PlannedPhase("iteration-1/curriculum", 4608, 400_000, 50_000, 2_500_000)
    document = printed(lambda console: print_settings(console, config.model_dump()))
    text = printed(lambda console: print_costs(console, [phase, phase], cores=2, timed=True))
    assert type(config).model_validate(yaml.safe_load(document)) == config
    assert "9,216" in text
    assert f"{duration(2 * phase.cpu_s)} of CPU time: {duration(phase.cpu_s)} at best on 2 cores" in text
    assert json.loads(plan_json(config.model_dump(), [phase]))["phases"][0]["cpu_s"] == phase.cpu_s


def test_a_dry_run_starts_nothing(tmp_path: Path) -> None:
    result = call("run", "agent0", "--preset", "nano", "--dry-run", "--set", "seed=7")
    assert result.exit_code == 0
    assert "seed: 7" in result.output
    assert "iteration-2/evaluate" in result.output
    assert list(tmp_path.iterdir()) == []
    assert json.loads(call("run", "--dry-run", "--json").output)["config"]["preset"] == "mini"


def test_the_summary_has_a_row_per_iteration_and_a_dash_for_what_is_absent() -> None:
    text = printed(lambda console: print_summary(console, SUMMARY, REPORTS))
    assert "agent0 · preset mini · seed 0" in text
    base, first = (line.split() for line in text.splitlines() if line.startswith(("base", "1 ")))
    assert base[1:4] == ["7.4", "±", "1.5"]
    assert base[-1] == "–"
    assert "74/256" in first
    assert "3 min 48 s wall · 7 min 00 s CPU · 1,234,567 tokens sampled" in text


def test_the_summary_fits_a_terminal_of_eighty_columns() -> None:
    stream = io.StringIO()
    rates = {"label_accuracy_kept": 0.93, "well_formed": 0.998, "first_executor_pass_rate": 0.5}
    pool = {"size": 4096, "kept": 1074, **rates}
    base, first = SUMMARY["iterations"]
    print_summary(Console(file=stream, width=80), SUMMARY | {"iterations": [base, {**first, "pool": pool}]}, REPORTS)
    line = next(line for line in stream.getvalue().splitlines() if line.startswith("1 "))
    assert line.split() == ["1", "46.0", "±", "3.0", "50.0", "48.0", "2.40", "50.0", "93.0", "99.8", "1074/4096"]


def test_the_summary_leaves_out_columns_of_which_no_iteration_has_a_number() -> None:
    text = printed(lambda console: print_summary(console, SUMMARY, REPORTS))
    assert "formed" not in text
    assert "accuracy" in text


def test_the_summary_explains_its_columns_when_it_is_asked_to() -> None:
    told = "label accuracy: kept pseudo-labels that are true"
    assert told not in printed(lambda console: print_summary(console, SUMMARY, REPORTS))
    assert told in printed(lambda console: print_summary(console, SUMMARY, REPORTS, explain=True))


def test_an_empty_summary_is_still_a_table() -> None:
    assert "held-out" in printed(lambda console: print_summary(console, {"iterations": [], "wall_s": None}, REPORTS))


def test_the_last_lines_say_the_result_where_it_is_and_what_is_next() -> None:
    run = Path("runs/my run")
    text = printed(lambda console: print_ending(console, run, run / "report/index.html", SUMMARY))
    assert "done in 3 min 48 s. Held-out accuracy 7.4 -> 46.0 %. Report: runs/my run/report/index.html" in text
    assert "next: coevolve solve 'runs/my run' 'Let a = 43 * 80." in text


def answered(answer: str | None, stop: StopReason, calls: tuple[ToolCall, ...]) -> Trajectory:
    ids, numbers = np.zeros(0, np.int32), np.zeros(0, np.float32)
    return Trajectory(
        task_id="q",
        sample=0,
        prompt=ids,
        tokens=ids,
        mask=ids.astype(bool),
        logprobs=numbers,
        text="a:\n1",
        tool_calls=calls,
        answer=answer,
        stop=stop,
        policy="solver",
        policy_versions=(0,),
        contract="c",
    )


def test_an_answer_is_shown_with_its_tool_calls() -> None:
    call = ToolCall("print(1)", "1", "ok")
    text = printed(lambda console: print_answer(console, answered("1", StopReason.EOS, (call,))))
    assert "answer: 1   (1 tool call, really run in the sandbox)" in text


def test_no_answer_is_shown_with_its_reason() -> None:
    call = ToolCall("while 1: pass", "error", "cpu_limit")
    text = printed(lambda console: print_answer(console, answered(None, StopReason.LENGTH, (call,))))
    assert "tool call 1: cpu_limit" in text
    assert "no answer: its tokens were used up" in text


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_refused_box_is_shown_with_the_key_that_refuses_it(reason: str) -> None:
    refused = replace(answered(None, StopReason.EOS, ()), refused=reason)
    text = printed(lambda console: print_answer(console, refused))
    assert "no answer: its box holds" in text
    assert "(grading.refuse_" in text


def test_a_reader_that_leaves_early_is_no_fault() -> None:
    done = subprocess.run(
        f"{sys.executable} -m coevolve config | true",
        shell=True,
        cwd=Path(coevolve.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
