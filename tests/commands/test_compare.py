"""``coevolve compare`` and ``coevolve report RUN RUN``: what they print and write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from coevolve.cli import app
from coevolve.commands.compare import bar_line, comparison_json, gap_sentences, points
from coevolve.studies.comparison import read_runs
from coevolve.studies.side_by_side import notes, side_by_side

Fabricated = Callable[..., Path]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def runs(fabricated: Fabricated, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("compared")
    good = [fabricated(base / f"mini-s{seed}", seed=seed, per_level=60) for seed in (0, 1, 2)]
    worse = {"means": (0.12, 0.2, 0.3, 0.4), "tool": {"enabled": False}}
    bad = [fabricated(base / f"no-tool-s{seed}", seed=seed, per_level=60, **worse) for seed in (0, 1, 2)]
    same = [fabricated(base / f"grpo-s{s}", seed=s + 10, per_level=60, objective="grpo") for s in (0, 1, 2)]
    return [*good, *bad, *same]


def test_differences_are_said_in_words_with_their_intervals(runs: list[Path]) -> None:
    out = call("compare", *runs[:6], runs[6]).output
    lines = [line.strip() for line in out.splitlines()]
    told = next(line for line in lines if line.startswith("no-tool is lower than mini"))
    assert "the interval excludes 0" in told
    assert "paired by 180 problems and seeds 0, 1, 2, over problems and seeds" in told
    assert any(line.startswith("note: grpo has one seed") for line in lines)
    assert any(line.split() == ["tool.enabled", "true", "false", "true"] for line in lines)
    assert "pool.size" not in out  # equal keys are no news


def test_one_seed_is_said_to_be_one(runs: list[Path]) -> None:
    out = call("compare", runs[1], runs[4]).output
    assert "no verdict on no-tool against mini, which takes two seeds or more of each: -" in out
    assert "over problems only); another seed may differ by more" in out
    assert any(line.rstrip().endswith("no verdict") for line in out.splitlines())
    assert "is lower" not in out


def test_settings_without_a_common_seed_are_compared_unpaired(runs: list[Path]) -> None:
    answer = json.loads(call("compare", *runs[:3], *runs[6:], "--json").stdout)
    (said,) = answer["sentences"]
    assert said.startswith("grpo and mini are not told apart, the interval includes 0")
    assert "paired by 180 problems, over problems and seeds" in said
    difference = answer["settings"][1]["difference"]
    assert difference["paired_seeds"] == []
    assert difference["low"] < 0 < difference["high"]
    assert difference["mean"] == pytest.approx(
        answer["settings"][1]["mean"]["mean"] - answer["settings"][0]["mean"]["mean"]
    )
    assert answer["config"] == {"objective": {"mini": "adpo", "grpo": "grpo"}}


def test_the_tables_go_between_the_markers_of_a_file(runs: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before `<!-- results -->`\n<!-- results -->\nreplaced\n<!-- /results -->\nafter\n")
    for _ in range(2):
        assert call("compare", *runs[:6], "--into", page).exit_code == 0
    text = page.read_text()
    assert text.startswith("before `<!-- results -->`\n<!-- results -->\n| setting | seeds |")
    assert text.endswith("<!-- /results -->\nafter\n")
    assert "replaced" not in text
    assert text.count("| no-tool | 0, 1, 2 |") == 1
    page.write_text("no markers")
    result = call("compare", *runs[:2], "--into", page)
    assert result.exit_code == 1
    assert "one place" in result.stderr
    assert page.read_text() == "no markers"


def test_the_page_of_several_runs_is_that_of_compare(runs: list[Path], tmp_path: Path) -> None:
    assert call("compare", *runs[:6], "--html", tmp_path / "page.html").exit_code == 0
    written = Path(call("report", *runs[:6]).output.strip())
    assert written.parent == runs[0].resolve().parent
    assert written.read_bytes() == (tmp_path / "page.html").read_bytes()
    text = written.read_text()
    assert re.search(r"no-tool is [0-9.]+ points below mini", text)
    assert "http://www.w3.org" in text  # the namespace of SVG, and no other address
    assert text.count("http") == text.count("http://www.w3.org") + text.count("http-equiv")


def test_a_run_that_is_missing_is_named(runs: list[Path], tmp_path: Path) -> None:
    result = call("compare", runs[0], tmp_path / "absent")
    assert result.exit_code == 1
    assert str(tmp_path / "absent") in result.stderr


def test_points_never_round_a_bound_to_zero() -> None:
    assert [points(x) for x in (0.0123, -0.0004, 0.00002, 0.0)] == ["+1.2", "-0.04", "+0.002", "+0.0"]


def test_a_bar_stands_for_each_share() -> None:
    assert bar_line([0, 0.124, 0.126, 0.5, 0.99, 1]) == "▁▁▂▅██"


def test_what_labels_by_vote_cost_is_said_where_nothing_else_differs(
    fabricated: Callable[..., Path], tmp_path: Path
) -> None:
    folders = [fabricated(tmp_path / f"votes-s{seed}", seed=seed) for seed in (0, 1)]
    truth = {"solver": {"labels": "truth"}}
    folders += [fabricated(tmp_path / f"o-s{seed}", seed=seed, means=(0.1, 0.5, 0.6, 0.9), **truth) for seed in (0, 1)]
    folders += [fabricated(tmp_path / "p-s0", objective="grpo", **truth)]
    runs = read_runs(folders)
    found = comparison_json(side_by_side(runs), runs)
    assert [setting["oracle_gap"] for setting in found["settings"]] == [False, True, False]  # type: ignore[attr-defined]
    (gap,) = gap_sentences(side_by_side(runs))
    assert gap in found["sentences"]  # type: ignore[operator]
    begin = "Oracle gap: true labels instead of those by vote, everything else equal, change accuracy by +"
    assert gap.startswith(begin)
    assert gap.endswith("(o against votes)")
    marks = [note for note in notes(runs) if "oracle" in note]
    assert [mark.split()[0] for mark in marks] == ["o", "p"]
