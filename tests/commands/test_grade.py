"""coevolve grade: two answers, files of pairs, and files that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from coevolve.cli import app
from coevolve.commands import grade

Write = Callable[[str | bytes], Path]
PAIRS = [
    {"gold": "1/2", "pred": "0.5", "expected": True},
    {"gold": "3", "pred": "4", "expected": True},
    {"gold": "so it is \\boxed{7}", "pred": "\\boxed{1}, no: \\boxed{7.0}", "mode": "text", "expected": True},
    {"gold": "7", "pred": "seven is the answer: 7", "mode": "text", "expected": False},
    {"gold": "cat", "pred": "cat", "mode": "answer", "expected": False},
    {"gold": "-1", "pred": "-1.0"},
]


def call(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["grade", *arguments, "--no-symbolic"], input=stdin)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def one(content: str | bytes) -> Path:
        path = tmp_path / "pairs.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return one


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("gold", "pred", "word"),
    [
        ("0.5", "1/2", "same"),
        ("-3", "-3.0", "same"),
        ("-3", "3", "different"),
        ("-x", "-x", "same"),
        (r"-\frac{1}{2}", "-.5", "same"),
        ("--5", "-5", "different"),
        ("", "", "different"),
        ("-", "-", "same"),
        ("\x01", "a\nb", "different"),
    ],
)
def test_two_answers_are_the_same_or_different(gold: str, pred: str, word: str) -> None:
    result = call(gold, pred)
    assert (result.exit_code, result.stdout) == (0, f"{word}\n")
    data = json.loads(call(gold, pred, "--json").stdout)
    assert (data["gold"], data["pred"], data["same"]) == (gold, pred, word == "same")


def test_an_explanation_names_stage_reason_and_keys() -> None:
    result = call("50%", "1/2", "--explain")
    assert result.exit_code == 0
    words = {line.split("  ")[0]: line.split("  ")[-1] for line in map(str.strip, result.stdout.splitlines())}
    assert list(words)[:3] == ["same", "why", "stage"]
    assert words["key of gold"] == words["key of pred"] == "1/2"
    missing = call("", "1", "--explain").stdout
    assert [line.split()[-1] for line in missing.splitlines() if line.startswith("key of gold")] == ["none"]


def test_a_file_is_graded_row_by_row(write: Write) -> None:
    data = json.loads(call("--pairs", str(write(lines(PAIRS))), "--json").stdout)
    assert [row["same"] for row in data["rows"]] == [True, False, True, False, True, True]
    assert [row["line"] for row in data["rows"]] == [1, 2, 3, 4, 5, 6]
    assert [(row["gold"], row["pred"]) for row in data["rows"]] == [(row["gold"], row["pred"]) for row in PAIRS]
    assert "expected" not in data["rows"][5]
    assert data["rows"][3]["stage"] == "missing"
    assert all(row["ms"] >= 0 for row in data["rows"])
    assert (data["pairs"], data["agreement"]) == (6, pytest.approx(0.6))
    assert (data["false_positives"], data["false_negatives"], data["timeouts"]) == (1, 1, 0)
    assert data["pairs_per_s"] > 0
    assert data["symbolic"] is False


def test_the_table_shows_misjudged_rows_first(write: Write) -> None:
    result = call("--pairs", str(write(lines(PAIRS))))
    assert result.exit_code == 0
    shown = result.stdout.splitlines()
    assert [line.split()[0] for line in shown[1:7]] == ["2", "5", "1", "3", "4", "6"]
    assert "different, not same" in shown[1]
    assert "same, not different" in shown[2]
    assert "agreement 60.0% of 5: 1 wrongly called the same, 1 wrongly called different" in result.stdout
    assert "6 pairs" in shown[-1]


def test_without_expectations_there_is_no_agreement() -> None:
    row = '{"gold": "1", "pred": "1"}'
    data = json.loads(call("--pairs", "-", "--json", stdin=f"\ufeff{row}\n\n  \n{row}").stdout)
    assert (data["agreement"], [r["line"] for r in data["rows"]]) == (None, [1, 4])
    assert "agreement" not in call("--pairs", "-", stdin=row).stdout


def test_strange_but_valid_rows_are_graded(write: Write) -> None:
    strange = ["\0", "\ud800", "1" * 1_000_000, "{" * 1_000_000, "\\boxed{" * 100_000, "\x1b[31m", "[bold]", "’ ∞ 数"]
    path = write(lines([{"gold": "1", "pred": text, "mode": mode} for text in strange for mode in ("answer", "text")]))
    data = json.loads(call("--pairs", str(path), "--json").stdout)
    assert not any(row["same"] for row in data["rows"])
    table = call("--pairs", str(path)).stdout
    assert "\\x1b[31m" in table
    assert "[bold]" in table
    assert not {"\0", "\x1b"} & set(table)
    assert max(map(len, table.splitlines())) < 300


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["no pairs"]),
        ("\n \n", ["no pairs"]),
        ('{"gold": "1"\n', ["line 1", "not JSON"]),
        ('{"gold": "1", "pred": "1"}\n{"gold": "1"}\n', ["line 2", "no pred"]),
        ('{"pred": "1"}', ["line 1", "no gold"]),
        ('{"gold": 1, "pred": "1"}', ["gold is a number", "quotation marks"]),
        ('{"gold": "1", "pred": null}', ["pred is null"]),
        ('{"gold": "1", "pred": ["1"]}', ["pred is a list"]),
        ('{"gold": "1", "pred": "1", "expected": "yes"}', ["expected is a string", "true or false"]),
        ('{"gold": "1", "pred": "1", "expected": 1}', ["expected is a number"]),
        ('{"gold": "1", "pred": "1", "mode": "boxed"}', ["unknown mode", "boxed", "answer, text"]),
        ('{"gold": "1", "pred": "1", "mode": ["text"]}', ["unknown mode"]),
        ('["1", "1"]', ["a list, not an object"]),
        ("17", ["a number, not an object"]),
        ("[" * 100_000, ["line 1"]),
        ("9" * 100_000, ["line 1"]),
        (b'{"gold": "1", "pred": "\0"}', ["line 1", "not JSON"]),
        (b"\0" * 5000, ["line 1", "not JSON"]),
        (b'{"gold": "\xff", "pred": "1"}', ["line 1", "not UTF-8"]),
    ],
)
def test_a_line_that_is_no_pair_is_named(content: str | bytes, words: list[str], write: Write) -> None:
    path = write(content)
    for result, name in [
        (call("--pairs", str(path)), str(path)),
        (call("--pairs", "-", "--json", stdin=content), "standard input"),
    ]:
        assert (result.exit_code, result.stdout) == (2, "")
        for word in [name, *words]:
            assert word in result.stderr
        assert "Traceback" not in result.stderr
        assert len(result.stderr) < 1000


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--pairs", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--pairs", "."], "directory"),
        (["--pairs", "a\0b"], "null"),
        (["1"], "two answers"),
        ([], "two answers"),
        (["1", "1", "--pairs", "x.jsonl"], "--pairs"),
        (["--pairs", "x.jsonl", "--explain"], "--explain"),
        (["1", "2", "3"], "3"),
        (["1", "2", "--explian"], "--explian"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(arguments: list[str], word: str) -> None:
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert word in result.stderr


def test_a_long_file_says_how_far_it_is(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grade, "QUIET_S", 0.0)
    result = call("--pairs", str(write(lines(PAIRS))), "--json")
    assert "graded 5 of 6, about" in result.stderr
    assert len(json.loads(result.stdout)["rows"]) == 6


def test_the_real_program_grades_negative_answers(cli: Callable[..., Any], tmp_path: Path) -> None:
    ended = cli("grade", "-3", "-6/2", "--no-symbolic", cwd=tmp_path)
    assert (ended.code, ended.stdout) == (0, "same\n")
