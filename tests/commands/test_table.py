"""``coevolve table``: every form holds the same figures, and wrong requests are told."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from evaluations import TEN, evaluation, suite
from typer.testing import CliRunner, Result

from coevolve.cli import app
from coevolve.commands.table import escaped

NASTY = "50% of_a & b # {c} \\d ~e ^f $g <h> | \u2013 ±"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["table", *map(str, arguments)], catch_exceptions=False)


def refused(*arguments: object) -> str:
    found = call(*arguments)
    assert found.exit_code
    assert found.stderr.startswith("error: ")
    assert "fix: " in found.stderr
    return found.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All ten of a 4B base model, greedy answers with odd names beside them."""
    suites = {name: suite(name, 0.3 + i / 50) for i, name in enumerate(TEN)}
    suites["my_set"] = suite("my_set", 0.5, licence=NASTY)
    suites["bbeh"] = suite("bbeh", 0.48, n=200)
    return evaluation(tmp_path_factory.mktemp("table") / "a_b", suites)


def test_published_rows_that_fit_stand_beside_both_scorings(folder: Path) -> None:
    text = call(folder).stdout
    names = [line.split("  ")[0].strip() for line in text.splitlines()]
    assert {"Agent0 [1]", "DARC [3]", "Qwen3-4B-Base (strict)", "Qwen3-4B-Base (paper-compatible)"} <= set(names)
    assert "[1] published: Agent0, arXiv 2511.16043v1" in text
    assert "±: half the 95 % interval over problems. Every row is one run or one model" in text
    assert "paper-compatible: by the lenient rules" in text
    alone = call(folder, "--published", "none").stdout
    assert "published" not in alone
    assert "paper-compatible" not in alone


def test_a_tiny_model_has_no_published_rows_beside_it(tmp_path: Path) -> None:
    path = evaluation(tmp_path, {"mine": suite("mine", 0.5)}, name="miniature@3")
    text = call(path).stdout
    assert "Other suites" in text
    assert not re.search(r"Mathematics|\[1\]|paper-compatible", text)


def test_markdown_has_as_many_cells_in_every_row_and_goes_between_markers(folder: Path, tmp_path: Path) -> None:
    text = call(folder, "--markdown").stdout
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    mine = next(row for row in rows if row.startswith("| Qwen3-4B-Base (strict)"))
    assert "| 30.0 ± 3.0 |" in mine
    assert "| 48.0 ± " in mine
    assert "<sup>b</sup>" in mine
    assert "- (b) 200 of 4,520 problems" in text
    assert "| *Agent0 [1]* | 60.6 |" in text
    file = tmp_path / "notes.md"
    file.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    call(folder, "--into", file)
    assert file.read_text() == f"before\n<!-- results -->\n{text.rstrip()}\n<!-- /results -->\nafter\n"


def test_latex_has_balanced_rows_and_no_letter_that_it_would_read(folder: Path) -> None:
    text = call(folder, "--latex").stdout
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r" \\")]
    (columns,) = re.findall(r"\\begin\{tabular\}\{l(r+)\}", text)
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns)}
    opened, closed = (re.findall(rf"\\{word}\{{(\w+)\}}", text) for word in ("begin", "end"))
    assert (opened, closed) == (["table", "tabular", "minipage"], ["tabular", "minipage", "table"])
    written = re.sub(
        r"\$\\pm\$|\$\^\{[a-z,]+\}\$|\$\\geq\$|\\[a-zA-Z]+\*?|\\[&%$#_{}\\]", "", text.partition("{%\n")[2]
    )
    assert not re.search(r"[%#_^~\\$]", written.replace(" & ", ""))
    assert written.isascii()
    assert r"my\_set" in text


def test_letters_that_latex_reads_are_escaped() -> None:
    assert escaped(NASTY) == (
        r"50\% of\_a \& b \# \{c\} \textbackslash{}d \textasciitilde{}e \textasciicircum{}f \$g "
        r"\textless{}h\textgreater{} \textbar{} -- $\pm$"
    )


def test_csv_and_json_hold_every_figure_with_its_interval(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(call(folder, "--csv").stdout)))
    data = json.loads(call(folder, "--json").stdout)
    assert [row["model"] for row in rows] == [row["name"] for row in data["rows"]]
    for flat, row in zip(rows, data["rows"], strict=True):
        assert flat["kind"] == row["kind"]
        for column in data["columns"]:
            cell = row["cells"].get(column["key"])
            for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
                found = flat[column["key"] + end]
                assert (found == "") == (cell is None or key not in cell)
                assert not found or float(found) / 100 == pytest.approx(cell[key], abs=1e-6)
    mine = next(row for row in data["rows"] if row["scoring"] == "strict")
    assert mine["cells"]["gsm8k"]["value"] == 0.36
    assert mine["cells"]["bbeh"]["remarks"] == ["200 of 4,520 problems"]
    assert mine["base"] == "Qwen3-4B-Base"


def test_published_rows_can_be_had_alone() -> None:
    data = json.loads(call("--published", "8b,4b", "--json").stdout)
    assert {row["kind"] for row in data["rows"]} == {"published"}
    assert [row["base"] for row in data["rows"]] == sorted(row["base"] for row in data["rows"])
    assert all(row["source"] for row in data["rows"])


def test_wrong_requests_are_told(folder: Path, tmp_path: Path) -> None:
    assert "nothing to show" in refused()
    assert "no published rows for 7b" in refused("--published", "7b")
    assert "unknown scoring 'lenient'" in refused(folder, "--scoring", "strict,lenient")
    assert "--csv, --json" in refused(folder, "--csv", "--json")
    assert "absent" in refused(tmp_path / "absent")
    assert "no scores of this kind (judged)" in call(folder, "--scoring", "judged").stdout
