"""What a user writes names one suite, or an error tells what exists."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_rows import hub_rows, write_jsonl

from coevolve.errors import ConfigError
from coevolve.suites.catalogue import BENCHMARKS, BY_NAME
from coevolve.suites.layouts import LAYOUTS
from coevolve.suites.registry import find, listing, names

THE_TEN = ("amc", "minerva", "math-500", "gsm8k", "olympiad", "aime24", "aime25", "supergpqa", "mmlu-pro", "bbeh")


def test_the_ten_benchmarks_are_there_in_the_order_of_the_papers() -> None:
    assert tuple(b.name for b in BENCHMARKS if b.of_the_papers) == THE_TEN
    assert names()[: len(BENCHMARKS)] == tuple(b.name for b in BENCHMARKS)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("math500", "math-500"),
        ("MATH", "math-500"),
        ("MATH_500", "math-500"),
        ("aime-2024", "aime24"),
        ("AIME 2025", "aime25"),
        ("OlympiadBench", "olympiad"),
        ("AMC23", "amc"),
        (" gsm8k ", "gsm8k"),
        ("SuperGPQA", "supergpqa"),
        ("mmlu_pro", "mmlu-pro"),
    ],
)
def test_a_benchmark_has_one_name_and_is_known_by_others(written: str, name: str) -> None:
    assert find(written).name == name


def test_no_two_benchmarks_share_a_name() -> None:
    written = [name for b in BENCHMARKS for name in (b.name, *b.other_names)]
    assert len(written) == len(set(written)) == len(BY_NAME)
    assert all(name == name.lower() and "_" not in name for name in written)


def test_every_copy_has_a_layout_and_a_full_commit_or_the_newest() -> None:
    for benchmark in BENCHMARKS:
        assert benchmark.copies
        for copy in benchmark.copies:
            assert copy.layout in LAYOUTS
            assert copy.revision == "main" or len(copy.revision) == 40  # the hub takes no shorter one


def test_a_path_is_a_file_also_where_it_is_called_as_a_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(tmp_path / "gsm8k", [])
    monkeypatch.chdir(tmp_path)
    rows = [{"question": "1 + 1?", "answer": 2}]
    write_jsonl(tmp_path / "mine.jsonl", rows)
    assert find("mine.jsonl").name == find("./mine.jsonl").name == find(str(tmp_path / "mine.jsonl")).name == "mine"
    with pytest.raises(ConfigError, match=r"\.jsonl"):
        find("gsm8k")  # a file of this name, and one without an ending
    with pytest.raises(ConfigError, match="no such file"):
        find("gsm8k.jsonl")


def test_a_folder_of_copies_is_for_benchmarks(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "gsm8k.jsonl", hub_rows("gsm8k", 4))
    assert find("GSM8K", tmp_path, any_copy=True).size == 4


@pytest.mark.parametrize(
    ("written", "near"), [("gms8k", "gsm8k"), ("olympics", "olympiad"), ("aime27", "aime2"), ("mmlu", "mmlu-pro")]
)
def test_an_unknown_name_is_refused_with_the_nearest_ones(written: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"no suite named '{written}'") as caught:
        find(written)
    assert near in caught.value.fix
    assert ".jsonl" in caught.value.fix


def test_a_mistyped_file_is_told_with_those_beside_it(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "exam.jsonl", [{"question": "1 + 1?", "answer": 2}])
    for mistyped in ("exam.jsnl", "exams.jsonl"):
        with pytest.raises(ConfigError) as caught:
            find(str(tmp_path / mistyped))
        assert f"did you mean {tmp_path / 'exam.jsonl'}?" in caught.value.fix


def test_a_mistyped_file_of_this_folder_is_no_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "exam.jsonl", [{"question": "1 + 1?", "answer": 2}])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no suite named") as caught:
        find("exam.jsnl")
    assert caught.value.fix.startswith("did you mean exam.jsonl?")


def test_a_name_like_no_other_is_refused_with_all_of_them() -> None:
    with pytest.raises(ConfigError) as caught:
        find("qqqqqqq")
    assert all(name in caught.value.fix for name in THE_TEN)


def test_the_list_has_size_licence_and_origin_of_all() -> None:
    listed = {line.name: line for line in listing()}
    assert set(names()) == set(listed)
    gsm8k = listed["gsm8k"]
    assert (gsm8k.size, gsm8k.licence, gsm8k.origin) == (1319, "MIT", "openai/gsm8k")
    assert listed["aime25"].origin.startswith("yentinglin/aime_2025, math-ai/aime25, ")
    assert all(line.licence and line.origin and line.size > 0 for line in listed.values())
