"""``import coevolve``: it costs nothing, and does what the commands do."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
import yaml

import coevolve
from coevolve.api.keys import layer, overrides
from coevolve.api.rows import Rows
from coevolve.curriculum.rewards import r_tool
from coevolve.errors import ConfigError, RunError

SOURCE = Path(coevolve.__file__).parent


def test_the_import_loads_nothing_but_the_package_itself() -> None:
    program = "import sys; before = set(sys.modules); import coevolve; print(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=SOURCE.parent
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded - sys.stdlib_module_names == {"coevolve"}
    assert "coevolve.api" not in done.stdout


def test_the_stub_declares_every_name_that_the_package_offers() -> None:
    lines = (SOURCE / "__init__.pyi").read_text(encoding="utf-8").splitlines()
    declared = {line.split(" as ")[1] for line in lines if line.startswith("from ")} | {"__version__"}
    assert declared == set(coevolve.__all__)
    assert declared <= set(dir(coevolve))
    assert all(getattr(coevolve, name) for name in declared)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'runn'"):
        _ = coevolve.runn  # type: ignore[attr-defined]


def test_a_run_has_the_bytes_of_the_command(finished: Path, tiny: Callable[..., list[str]], tmp_path: Path) -> None:
    given = [one.removeprefix("--set=") for one in tiny(tmp_path / "run") if one.startswith("--set=")]
    keys = {name: yaml.safe_load(value) for name, _, value in (one.partition("=") for one in given)}
    run = coevolve.run("agent0", preset="nano", quiet=True, **keys)
    for name in ("metrics.jsonl", "probe/tasks.parquet", "tasks/iteration-2.parquet"):
        assert (run.path / name).read_bytes() == (finished / name).read_bytes()
    assert (run.path / "report/index.html").is_file()


def test_a_stored_run_gives_its_tables_and_answers(finished: Path) -> None:
    run = coevolve.load(finished)
    assert (run.status, run.config.preset) == ("finished", "nano")
    assert [row["event"] for row in run.metrics] == [
        json.loads(line)["event"] for line in (finished / "metrics.jsonl").read_text().splitlines()
    ]
    frame = run.tasks.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert (len(frame), set(frame.iteration)) == (16, {1, 2})
    pool = list(run.trajectories(iteration=1, set="pool"))
    assert pool
    assert {len(x.tokens) == len(x.logprobs) for x in pool} == {True}
    assert run.summary["iterations"]
    assert run.solve("Let a = 43 * 80. Find a.", iteration=0).policy == "base"


def test_without_a_path_the_newest_run_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="there is no run here"):
        coevolve.load()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(finished)
    assert coevolve.load().path == Path("runs/mine")


def test_a_mistyped_key_says_which_was_meant() -> None:
    with pytest.raises(ConfigError, match=r"did you mean reward\.lambda_tool"):
        coevolve.run(preset="nano", **{"reward.lambda_tol": 1})
    with pytest.raises(ConfigError, match="one call per seed"):
        coevolve.run(preset="nano", run={"seeds": [1, 2]})
    with pytest.raises(ConfigError, match=r"did you mean sandbox\.cpu_s"):
        coevolve.Sandbox(cpu=1)


def test_functions_become_their_names_and_those_without_one_are_refused() -> None:
    assert layer({"reward": {"extra": [r_tool]}}, "here").values == {
        "reward.extra": ["coevolve.curriculum.rewards:r_tool"]
    }
    with pytest.raises(ConfigError, match="put it at the top of a file"):
        layer({"reward.extra": lambda question: 0.0}, "here")
    assert overrides({"tool.enabled": False, "model.path": Path("a/b")}, "here") == [
        "tool.enabled=false",
        "model.path=a/b",
    ]


def test_a_grade_is_true_where_answers_are_the_same() -> None:
    assert coevolve.grade("1/2", "0.5", symbolic=False)
    wrong = coevolve.grade("1/2", "1/3", symbolic=False)
    assert not wrong
    assert wrong.why == "the number 1/2 is not the number 1/3"


def test_a_sandbox_runs_snippets_and_sessions() -> None:
    with coevolve.Sandbox(cpu_s=1, preload=[]) as box:
        assert box.run("print(6 * 7)").stdout == "42\n"
        box.run("x = 3", session="a")
        assert box.run("print(x)", session="a").stdout == "3\n"
        assert "NameError" in box.run("print(x)").stderr


def test_an_evaluation_is_that_of_the_command(finished: Path, tmp_path: Path) -> None:
    suite = tmp_path / "mine.jsonl"
    suite.write_text('{"question": "Let a = 4 + 3. Find a.", "answer": "7"}\n')
    found = coevolve.evaluate(coevolve.load(finished), suite, folder=tmp_path / "out", quiet=True)
    assert found.suites["mine"].answers == 1
    assert json.loads((tmp_path / "out/eval.json").read_text())["complete"] is True


def test_rows_are_flat_in_frames_and_csv() -> None:
    rows = Rows([{"event": "step", "n": 1}, {"event": "pool", "rates": {"kept": 0.5, "bins": [1, 2]}, "ok": True}])
    assert rows.columns == ["event", "n", "rates.kept", "rates.bins", "ok"]
    sink = io.StringIO()
    rows.to_csv(sink)
    assert sink.getvalue() == 'event,n,rates.kept,rates.bins,ok\nstep,1,,,\npool,,0.5,"[1, 2]",true\n'
    assert list(rows[1:].to_pandas()["rates.kept"]) == [0.5]
