"""A run measured on a file of questions: in its metrics, tables, page and exports, and the same bytes after a kill."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from coevolve.commands.results import result_sentence
from coevolve.monitor.health import health
from coevolve.monitor.summary import reports_of, summarise
from coevolve.store import manifest
from coevolve.store.records import RunRecords
from coevolve.studies.comparison import read_runs
from coevolve.studies.on_suites import suite_results
from coevolve.worlds.miniature.meter import answer, held_out

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]
SMALL = ("iterations=1", "evaluation.suite_samples=2", "evaluation.suites=[questions.jsonl]")


def questions(folder: Path, seed: int = 99) -> Path:
    """Four questions of the miniature's kind, and one that nobody can answer there."""
    tasks = [task for level in (1, 2) for task in held_out(level, 2, seed)]
    asked = [(task.question, answer(task.question), "math") for task in tasks]
    asked.append(("What is the capital of France?", "Paris", "fuzzy"))
    rows = [{"question": q, "answer": a, "kind": kind, "level": i % 2} for i, (q, a, kind) in enumerate(asked)]
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(cli: Cli, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("suites")
    questions(place)
    ended = cli(*tiny(place / "run", *SMALL), cwd=place)
    assert ended.code == 0, ended.stderr
    return place / "run"


def evaluations(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["event"] == "evaluation"]


def test_every_policy_is_measured_on_the_same_questions(run: Path) -> None:
    folder = RunRecords.open(run)
    for t, row in enumerate(evaluations(run)):
        found = row["suites"]["questions"]
        table = [x for x in folder.read_table(f"meter/evaluation-{t}.parquet") if x["set"] == "suites-questions"]
        assert (found["n"], found["k"], len(table)) == (5, 2, 5)
        assert found["mean"] == pytest.approx(sum(x["samples_right"] for x in table) / 10)
        assert found["greedy"] == pytest.approx(sum(x["greedy_right"] for x in table) / 5)
        assert found["majority"] == pytest.approx(sum(x["majority_right"] for x in table) / 5)
        answers = folder.read_table(f"trajectories/suites-{t}-questions.parquet")
        sampled = [x for x in answers if x["set"] == "suites-questions"]
        assert (len(sampled), len(answers)) == (10, 15)
        assert found["no_answer"] == pytest.approx(sum(x["answer"] is None for x in sampled) / 10)
        assert found["cut_off"] == pytest.approx(sum(x["stop"] == "length" for x in sampled) / 10)
        assert set(found["by_level"]) == {"0", "1"}
        assert "by_topic" not in found
        assert row["held_out"]["n"] == 4


def test_the_manifest_says_what_was_measured(run: Path) -> None:
    folder = RunRecords.open(run)
    fact = folder.facts["suites"]["questions"]  # type: ignore[index]
    assert (fact["n"], fact["size"], fact["copy"]) == (5, 5, str(run.parent / "questions.jsonl"))
    assert len(fact["digest"]) == 64
    assert "meter/suites/questions.parquet" in folder.state.phases[0].files
    assert folder.config.evaluation.suites == [str(run.parent / "questions.jsonl")]


def test_summary_and_findings_speak_of_the_suite(run: Path, cli: Cli) -> None:
    summary: Any = summarise(run)
    base, last = (row["suites"]["questions"]["mean"] for row in evaluations(run))
    change = summary["suites"]["questions"]["change"]
    assert (change["from"], change["to"], change["n"]) == (0, 1, 5)
    assert change["mean"] == pytest.approx(last - base)
    assert change["ci95"][0] <= change["mean"] <= change["ci95"][1]
    assert f"questions {100 * base:.1f} -> {100 * last:.1f} %" in result_sentence(summary)
    ended = cli("summary", str(run), "--explain")
    assert ended.code == 0
    assert "questions: 5 problems, mean of 2 answers to each" in ended.stdout
    found = health(summary, RunRecords.open(run).metrics(), reports_of(run))
    assert any("questions" in finding.text for finding in found)


def test_the_page_lists_the_questions_and_draws_the_suite(run: Path) -> None:
    page = (run / "report/index.html").read_text()
    assert "Accuracy on suites" in page
    assert "Suites, before and after" in page
    assert "What is the capital of France?" in page
    assert "nothing of them is uploaded" in page


def test_a_data_set_leaves_the_suite_out_and_says_so(run: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("export", str(run), "--to", str(tmp_path / "out")).code == 0
    (card,) = (path for path in tmp_path.rglob("README.md") if (path.parent / "tasks").is_dir())
    assert "also measured on questions" in card.read_text()
    assert any("| questions | 5 | 2 |" in path.read_text() for path in tmp_path.rglob("README.md"))
    sets: set[str] = set()
    for file in card.parent.rglob("*.parquet"):
        assert b"capital of France" not in file.read_bytes()
        table = pq.read_table(file)
        sets |= set(table["set"].to_pylist() if "set" in table.column_names else ())
    assert sets >= {"level-1", "level-2"}
    assert not [name for name in sets if "suites" in name]


def test_runs_are_compared_on_a_suite_only_where_it_has_the_same_questions(run: Path, cli: Cli, tmp_path: Path) -> None:
    same, other = (shutil.copytree(run, tmp_path / name) for name in ("same", "other"))
    state, facts = manifest.read(other), RunRecords.open(run).facts["suites"]
    another = {"questions": facts["questions"] | {"digest": "0" * 64}}  # type: ignore[index]
    manifest.save(other, state.model_copy(update={"suites": another}))

    results, remarks = suite_results(read_runs([run, same, other]))
    assert [(x.suite, x.n, len(x.curve)) for x in results] == [("questions", 5, 2)] * 3
    assert results[1].curve[1].mean == pytest.approx(evaluations(run)[1]["suites"]["questions"]["mean"])
    base, last = (evaluations(run)[t]["suites"]["questions"]["mean"] for t in (0, 1))
    assert results[1].gain.estimate.mean == pytest.approx(last - base)
    assert results[1].gain.same_problems
    assert results[0].difference is results[2].difference is None
    assert results[1].difference is not None
    assert results[1].difference.same_problems
    assert results[1].difference.estimate.mean == 0
    (remark,) = remarks
    assert "other: questions holds other problems than in run" in remark

    ended = cli("compare", str(run), str(other), "--json")
    assert ended.code == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert [x["suite"] for x in found["suites"]] == ["questions"] * 2
    assert remark in found["notes"]
    printed = cli("compare", str(run), str(same)).stdout
    assert "accuracy on suites" in printed
    assert "since base" in printed


def test_killed_among_its_answers_a_run_ends_with_the_same_bytes_though_its_file_is_gone(
    run: Path, cli: Cli, tiny: Tiny, tmp_path: Path
) -> None:
    file = questions(tmp_path)
    fault = {"method": "save_batch", "phase": "iteration-0/evaluate", "when": "after", "kind": "kill"}
    assert cli(*tiny(tmp_path / "run", *SMALL), cwd=tmp_path, fault=fault).code == -9
    file.unlink()
    for _ in range(2):  # held-out answers, their greedy ones, then the first half of the suite
        assert cli("resume", str(tmp_path / "run"), cwd="/", fault=fault).code == -9
    ended = cli("resume", str(tmp_path / "run"), cwd="/")
    assert ended.code == 0, ended.stderr
    assert "can no longer be read" in ended.stdout
    names = ["metrics.jsonl", *(f"{kind}-{t}{rest}.parquet" for t in (0, 1) for kind, rest in TABLES)]
    for name in (*names, "meter/suites/questions.parquet"):
        digests = [hashlib.sha256((path / name).read_bytes()).hexdigest() for path in (run, tmp_path / "run")]
        assert digests[0] == digests[1], name


TABLES = (("meter/evaluation", ""), ("trajectories/suites", "-questions"), ("trajectories/held-out", ""))


def test_a_suite_that_cannot_be_measured_ends_a_start_before_there_is_a_folder(
    cli: Cli, tiny: Tiny, tmp_path: Path
) -> None:
    gone = cli(*tiny(tmp_path / "run", f"evaluation.suites=[{tmp_path / 'gone.jsonl'}]"))
    gone.assert_clear("gone.jsonl", code=2)
    (tmp_path / "long.jsonl").write_text(json.dumps({"question": "1 + " * 3000 + "1", "answer": "3001"}))
    long = cli(*tiny(tmp_path / "run", f"evaluation.suites=[{tmp_path / 'long.jsonl'}]"))
    long.assert_clear("long-1", "positions", code=2)
    assert not (tmp_path / "run").exists()


def test_a_dry_run_lists_the_suites(cli: Cli, tmp_path: Path) -> None:
    file = questions(tmp_path)
    asked = ("run", "agent0", "--preset", "nano", "--dry-run", "--set", f"evaluation.suites={file}")
    assert "suite questions: 5 problems, 4 answers and a greedy one to each" in cli(*asked).stdout
    plan = json.loads(cli(*asked, "--set", "evaluation.suite_limit=3", "--json").stdout)
    (suite,) = plan["suites"]
    assert (suite["name"], suite["n"], suite["size"], suite["answers"]) == ("questions", 3, 5, 15)
    without = json.loads(cli(*asked[:5], "--json").stdout)
    extra = [p["trajectories"] - q["trajectories"] for p, q in zip(plan["phases"], without["phases"], strict=True)]
    assert extra == [15, 0, 0, 0, 15, 0, 0, 0, 15][: len(extra)]
