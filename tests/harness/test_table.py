"""A table of results against figures worked out by hand, and what must not get into one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from evaluations import TEN, evaluation, suite

from coevolve.errors import RunError
from coevolve.harness.entries import read_entries, size_in
from coevolve.harness.published import SIZES, published
from coevolve.harness.table import AVERAGES, COMPUTED, Cell, average, build, mark
from coevolve.statistics import share_of
from coevolve.store.folder import RunFolder
from coevolve.suites.catalogue import GENERAL, MATHS

Fabricated = Callable[..., Path]


def test_averages_are_those_of_the_paper(tmp_path: Path) -> None:
    (row,) = build(read_entries([evaluation(tmp_path)]), [], ["strict"]).rows
    rates = {name: 0.3 + i / 50 for i, name in enumerate(TEN)}
    maths = sum(rates[name] for name in MATHS) / 7
    assert row.cells["maths"].value == pytest.approx(maths)
    assert row.cells["maths-without-aime"].value == pytest.approx(sum(rates[name] for name in MATHS[:5]) / 5)
    assert row.cells["general"].value == pytest.approx(sum(rates[name] for name in GENERAL) / 3)
    assert row.cells["overall"].value == pytest.approx((maths + sum(rates[name] for name in GENERAL)) / 4)
    assert all(sum(weights.values()) == pytest.approx(1) for weights in AVERAGES.values())


def test_an_average_with_a_missing_set_is_missing(tmp_path: Path) -> None:
    some = {name: suite(name, 0.5) for name in TEN if name not in ("aime24", "bbeh")}
    (row,) = build(read_entries([evaluation(tmp_path, some)]), [], ["strict"]).rows
    assert {key for key in AVERAGES if key in row.cells} == {"maths-without-aime"}


def test_the_interval_of_an_average_is_that_of_independent_sets() -> None:
    even = {name: Cell(0.5, 0.4, 0.6) for name in GENERAL}
    found = average(even, "general")
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.5 - 0.1 / math.sqrt(3), 0.5 + 0.1 / math.sqrt(3)))
    lone = average({**even, "bbeh": Cell(0.5)}, "general")
    assert lone is not None
    assert (lone.value, lone.low) == (0.5, None)


def test_a_figure_is_the_mean_of_samples_for_amc_and_aime_and_greedy_for_others(tmp_path: Path) -> None:
    both = {"greedy": 0.25, "mean": 0.5, "k": 32, "ci95": (0.45, 0.55)}
    suites = {name: suite(name, 0.0, **both) for name in ("amc", "gsm8k", "mine")}
    cells = build(read_entries([evaluation(tmp_path, suites)]), [], ["strict"]).rows[0].cells
    assert {name: cell.value for name, cell in cells.items()} == {"amc": 0.5, "gsm8k": 0.25, "mine": 0.25}
    assert (cells["amc"].low, cells["amc"].high) == (0.45, 0.55)
    exact = share_of(0.25 * 1319, 1319)
    assert (cells["gsm8k"].low, cells["gsm8k"].high) == (exact.low, exact.high)


def test_the_other_kind_of_answer_is_taken_and_marked_where_one_is_missing(tmp_path: Path) -> None:
    suites = {
        "aime25": suite("aime25", 0.0, greedy=0.2, mean=None, k=0),
        "gsm8k": suite("gsm8k", 0.0, greedy=None, mean=0.4, k=8),
    }
    cells = build(read_entries([evaluation(tmp_path, suites)]), [], ["strict"]).rows[0].cells
    assert (cells["aime25"].value, cells["aime25"].remarks) == (0.2, ("greedy, not a mean of samples",))
    assert (cells["gsm8k"].value, cells["gsm8k"].remarks) == (0.4, ("mean@8, not greedy",))


def test_part_of_a_set_and_lost_answers_are_marked_in_averages_too(tmp_path: Path) -> None:
    suites = {name: suite(name, 0.5) for name in GENERAL}
    suites["bbeh"] = suite("bbeh", 0.5, n=200, answers=200, lost=3, alarm="nobody answers")
    cells = build(read_entries([evaluation(tmp_path, suites)]), [], ["strict"]).rows[0].cells
    remarks = ("200 of 4,520 problems", "3 of 200 answers were lost and left out", "alarm: nobody answers")
    assert cells["bbeh"].remarks == cells["general"].remarks == remarks
    assert cells["mmlu-pro"].remarks == ()


def test_scorings_are_rows_of_their_own(tmp_path: Path) -> None:
    found = build(read_entries([evaluation(tmp_path)]), [], ["strict", "paper", "judged"])
    assert [(row.scoring, round(row.cells["gsm8k"].value, 2)) for row in found.rows] == [
        ("strict", 0.36),
        ("paper", 0.46),
    ]
    assert [row.cells["amc"].low is None for row in found.rows] == [False, True]


def test_suites_of_ones_own_have_columns_after_all_others(tmp_path: Path) -> None:
    entries = read_entries([evaluation(tmp_path, {"mine": suite("mine", 0.5), "gsm8k": suite("gsm8k", 0.5)})])
    keys = [column.key for column in build(entries, [], ["strict"]).columns]
    assert keys == [*MATHS, "maths", "maths-without-aime", "mine"]
    assert [column.key for column in build(entries, ["4b"], ["strict"]).columns][-2:] == ["overall", "mine"]


@pytest.mark.parametrize("size", SIZES)
def test_published_rows_are_marked_with_their_source_and_keep_what_was_printed(size: str) -> None:
    found = build([], [size], ["strict"])  # type: ignore[list-item]
    for row, printed in zip(found.rows, published(size), strict=True):  # type: ignore[arg-type]
        assert (row.kind, row.name, row.scoring) == ("published", printed.name, None)
        assert row.source is not None
        assert found.sources[row.source - 1].startswith(printed.source.citation)
        for key, cell in row.cells.items():
            if key in printed.figures:
                assert (100 * cell.value, cell.remarks) == (pytest.approx(printed.figures[key]), ())
            else:
                assert cell.remarks == (COMPUTED,)
    by_name = {row.name: row.cells for row in found.rows}
    assert (
        by_name["Agent0"]["general"].value == {"4b": 0.326, "8b": 0.367}[size]
    )  # as its table of tools and ablations says
    assert not {"aime24", "maths", "overall"} & by_name["DARC"].keys()


def test_an_incomplete_evaluation_is_refused_by_name_and_left_out_of_a_run(
    fabricated: Fabricated, tmp_path: Path
) -> None:
    run = fabricated(tmp_path / "run")
    part = evaluation(run / "evals" / "a", complete=False)
    with pytest.raises(RunError, match="not complete"):
        read_entries([part])
    with pytest.raises(RunError, match="measured no suites"):
        read_entries([run])
    evaluation(run / "evals" / "b")
    (entry,) = read_entries([run])
    assert entry.left_out == (f"{part} is not complete and was left out",)


def test_a_run_on_true_labels_is_refused_however_it_is_named(fabricated: Fabricated, tmp_path: Path) -> None:
    oracle = fabricated(tmp_path / "oracle", solver={"labels": "truth"})
    inside = evaluation(oracle / "evals" / "a")
    outside = evaluation(tmp_path / "b", run=str(oracle), iteration=3)
    moved = evaluation(tmp_path / "c", facts={"oracle": True}, run="gone")
    for path in (oracle, inside, outside, moved):
        with pytest.raises(RunError, match="a run on true labels is not put into a table"):
            read_entries([path])


def test_a_folder_that_holds_neither_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="neither an evaluation nor a run"):
        read_entries([tmp_path])


def test_all_evaluations_below_a_folder_are_taken_once_and_equal_names_are_numbered(tmp_path: Path) -> None:
    for name in ("b", "a"):
        evaluation(tmp_path / name)
    entries = read_entries([tmp_path, tmp_path / ".", tmp_path])
    assert [entry.name for entry in entries] == ["Qwen3-4B-Base (1)", "Qwen3-4B-Base (2)"]


def test_suites_of_a_run_are_those_of_its_base_model_and_its_last_evaluation(
    tmp_path: Path, fabricated: Fabricated
) -> None:
    run = fabricated(tmp_path / "run", means=(), finished=False)
    folder = RunFolder.open(run)
    for t, rate in enumerate((0.1, 0.2, 0.3)):
        row = {"mean": rate + 0.05, "n": 1319, "k": 8, "ci95": [rate, rate + 0.1], "greedy": rate, "majority": rate}
        folder.begin(f"iteration-{t}/evaluate")
        folder.log({"event": "evaluation", "iteration": t, "held_out": None, "suites": {"gsm8k": row}})
        folder.finish(f"iteration-{t}/evaluate", [])
    folder.close()
    entries = read_entries([run])
    assert [entry.name for entry in entries] == ["run@0, in the run", "run@2, in the run"]
    assert [entry.suites["gsm8k"].figures["strict"].value for entry in entries] == [0.1, 0.3]


def test_contamination_of_an_evaluation_is_told(tmp_path: Path) -> None:
    file = evaluation(tmp_path, {"mine": suite("mine", 0.5)}) / "eval.json"
    one = {"n": 100, "trained": 40, "exact": 1, "run": 2, "alike": 3, "any": 4, "written": 5, "pairs": []}
    content = json.loads(file.read_text()) | {"contamination": {"rule": "", "suites": {"mine": one}}}
    file.write_text(json.dumps(content))
    notes = build(read_entries([tmp_path]), [], ["strict"]).notes
    assert any("mine 4 of 100 (1 exact)" in note for note in notes)


def test_rows_on_other_problems_are_told(tmp_path: Path) -> None:
    evaluation(tmp_path / "a", {"mine": suite("mine", 0.5)})
    evaluation(tmp_path / "b", {"mine": suite("mine", 0.5, digest="another")})
    notes = build(read_entries([tmp_path]), [], ["strict"]).notes
    assert "mine: not the same problems in all rows." in notes
    assert any("mine (copy of mine; MIT)" in note for note in notes)


@pytest.mark.parametrize(
    ("texts", "size"),
    [
        (["Qwen/Qwen3-4B-Base"], "4b"),
        (["runs/qwen3-8b-1gpu-0@3"], "8b"),
        (["my-run@3", "Qwen3-4B-Base"], "4b"),
        (["OctoThinker-3B"], None),
        (["Qwen3-14B", "Qwen3-1.8B"], None),
        (["4B and 8B"], None),
        (["miniature"], None),
    ],
)
def test_the_size_of_a_base_model_is_what_names_say(texts: list[str], size: str | None) -> None:
    assert size_in(*texts) == size


def test_marks_go_on_after_z() -> None:
    assert [mark(number) for number in (0, 25, 26, 51, 52)] == ["a", "z", "aa", "az", "ba"]
