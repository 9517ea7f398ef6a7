"""Each benchmark is read in the layouts of its copies, and a copy that is not what it should be is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_rows import Rows, hub_rows, write_jsonl, write_parquet

from coevolve.errors import ConfigError
from coevolve.grading.grade import Kind
from coevolve.suites import benchmarks, hub
from coevolve.suites.base import suite_of
from coevolve.suites.benchmarks import benchmark_source
from coevolve.suites.catalogue import BENCHMARKS, BY_NAME, Copy
from coevolve.suites.layouts import LAYOUTS, answers_digest
from coevolve.types import LabelledTask

NAMES = [benchmark.name for benchmark in BENCHMARKS]
ROWS = 3

Hub = Callable[..., None]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every benchmark has three rows, and nothing is known of its answers."""
    for name, benchmark in BY_NAME.items():
        monkeypatch.setitem(BY_NAME, name, replace(benchmark, rows=ROWS, answers=""))


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    """A hub that has the repositories that were written below ``tmp_path / "hub"``, and refuses all others."""

    def fetch(copy: Copy) -> hub.Found:
        folder = tmp_path / "hub" / copy.repo
        if not folder.is_dir():
            raise hub.Unavailable(f"{copy.repo}: the hub knows none of this name")
        return hub.Found(hub.files_of(folder, copy), copy.repo)

    def add(repo: str, file: str, rows: Rows) -> None:
        write = write_parquet if file.endswith(".parquet") else write_jsonl
        write(tmp_path / "hub" / repo / file, rows)

    monkeypatch.setattr(benchmarks, "fetched", fetch)
    return add


def file_of(copy: Copy) -> str:
    return f"{copy.config or 'data'}/{copy.split}-00000-of-00001.parquet"


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_of_the_first_copy_become_problems(online: Hub, name: str) -> None:
    copy = BY_NAME[name].copies[0]
    online(copy.repo, file_of(copy), hub_rows(name, ROWS))
    source = benchmark_source(name)
    loaded = source.load()
    assert (source.name, source.size, loaded.copy, loaded.notes) == (name, ROWS, copy.repo, ())
    assert source.licence == BY_NAME[name].licence
    assert [p.task.id for p in loaded.problems] == [f"{name}-{i}" for i in (1, 2, 3)]
    kinds = {"supergpqa": Kind.CHOICE, "mmlu-pro": Kind.CHOICE, "bbeh": Kind.FUZZY}
    truths = {"supergpqa": "B", "mmlu-pro": "B", "bbeh": "3, yes", "olympiad": "$3$"}
    first = loaded.problems[0]
    assert (first.kind, first.truth) == (kinds.get(name, Kind.MATH), truths.get(name, "3"))
    assert first.task.question.startswith("A bowl holds 1 pears and two more are put in.")
    with pytest.raises(ValueError, match="suite"):
        LabelledTask(first.task, "3", 0.5, 10)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_in_a_folder_gives_the_same_problems_as_the_hub(online: Hub, tmp_path: Path, name: str) -> None:
    copy = BY_NAME[name].copies[0]
    online(copy.repo, file_of(copy), hub_rows(name, ROWS))
    write_jsonl(tmp_path / "data" / f"{name}.jsonl", hub_rows(name, ROWS))
    here = benchmark_source(name, tmp_path / "data").load()
    assert here.digest == benchmark_source(name).load().digest
    assert here.copy == str(tmp_path / "data" / f"{name}.jsonl")


def test_levels_and_topics_are_those_of_the_source(tmp_path: Path) -> None:
    said = {}
    for name in ("math-500", "olympiad", "supergpqa", "mmlu-pro", "bbeh", "gsm8k"):
        write_jsonl(tmp_path / f"{name}.jsonl", hub_rows(name, ROWS))
        problem = benchmark_source(name, tmp_path).load().problems[0]
        said[name] = (problem.level, problem.topic)
    assert said == {
        "math-500": ("2", "Prealgebra"),
        "olympiad": ("", "Counting"),
        "supergpqa": ("easy", "Agronomy"),
        "mmlu-pro": ("", "math"),
        "bbeh": ("", "bowls"),
        "gsm8k": ("", ""),
    }


def test_a_choice_shows_its_options_in_the_words_of_the_published_evaluation(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "mmlu-pro.jsonl", hub_rows("mmlu-pro", ROWS))
    problem = benchmark_source("mmlu-pro", tmp_path).load().problems[0]
    assert problem.options == ("2 pears", "3 pears", "4 pears", "51 pears")
    assert problem.task.question.endswith(
        "How many pears are there now?\nOptions are:\n(A): 2 pears\n(B): 3 pears\n(C): 4 pears\n(D): 51 pears\n\n"
        "Only put the option letter in the box, e.g. \\boxed{A}. There is only one correct answer."
    )


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        ("025", "25"),
        ("000", "0"),
        (25, "25"),
        (25.0, "25"),
        ("\\boxed{025}", "25"),
        ("336^\\circ", "336"),
        ("$7$", "7"),
    ],
)
def test_answers_of_aime_are_numbers_however_they_are_written(answer: object, truth: str) -> None:
    final = LAYOUTS["aime"].final
    assert final is not None
    assert final(answer, "row 1") == truth


@pytest.mark.parametrize("answer", ["1000", "-3", "3.5", "x", "1 2"])
def test_other_answers_are_none_of_aime(answer: str) -> None:
    final = LAYOUTS["aime"].final
    assert final is not None
    with pytest.raises(ConfigError, match="0 to 999"):
        final(answer, "row 1")


def test_a_boxed_solution_stands_in_for_a_missing_answer(online: Hub) -> None:
    online("math-ai/aime24", "test.parquet", [{"problem": f"{i}?", "solution": f"\\boxed{{{i}}}"} for i in range(ROWS)])
    loaded = benchmark_source("aime24").load()
    assert [p.truth for p in loaded.problems] == ["0", "1", "2"]


def test_capitals_of_field_names_do_not_matter(online: Hub) -> None:
    rows = [{"ID": f"2024-{i}", "Problem": f"{i}?", "Solution": "Count.", "Answer": i} for i in range(ROWS)]
    online("Maxwell-Jia/AIME_2024", "aime_2024_problems.parquet", rows)
    assert [p.truth for p in benchmark_source("aime24").load().problems] == ["0", "1", "2"]


def test_several_final_answers_are_all_wanted(tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "final_answer": ["$1$", "$2$"]} for i in range(ROWS)]
    write_jsonl(tmp_path / "olympiad.jsonl", rows)
    assert benchmark_source("olympiad", tmp_path).load().problems[0].truth == "$1$, $2$"


@pytest.mark.parametrize("answer", ["18", "-3", "1,000", "$5", "2.5"])
def test_final_answers_of_gsm8k_may_stand_alone(tmp_path: Path, answer: str) -> None:
    write_jsonl(tmp_path / "gsm8k.jsonl", [{"question": f"{i}?", "answer": answer} for i in range(ROWS)])
    assert benchmark_source("gsm8k", tmp_path).load().problems[0].truth == answer


def test_the_next_copy_is_taken_and_told_where_the_first_is_gone(online: Hub) -> None:
    online("math-ai/aime25", "test.jsonl", hub_rows("aime25", ROWS))
    loaded = benchmark_source("aime25").load()
    assert loaded.copy == "math-ai/aime25"
    (note,) = loaded.notes
    assert "math-ai/aime25" in note
    assert "yentinglin/aime_2025: the hub knows none of this name" in note


def test_two_files_of_one_split_are_one_set(online: Hub) -> None:
    rows = hub_rows("aime25", ROWS)
    online("opencompass/AIME2025", "aime2025-I.jsonl", rows[:2])
    online("opencompass/AIME2025", "aime2025-II.jsonl", rows[2:])
    assert len(benchmark_source("aime25").load().problems) == ROWS


def test_all_copies_that_cannot_be_had_are_told_with_the_way_around(online: Hub) -> None:
    with pytest.raises(ConfigError) as caught:
        benchmark_source("aime25").load()
    for copy in BY_NAME["aime25"].copies:
        assert copy.repo in caught.value.what
    assert caught.value.where == "suite=aime25"
    assert "aime25.jsonl" in caught.value.fix
    assert "--data" in caught.value.fix


def test_a_row_without_an_answer_is_named(online: Hub) -> None:
    rows = hub_rows("math-500", ROWS)
    rows[1]["answer"] = ""
    online("HuggingFaceH4/MATH-500", "test.jsonl", rows)
    with pytest.raises(ConfigError, match="no answer") as caught:
        benchmark_source("math-500").load()
    assert caught.value.where.endswith("test.jsonl, line 2")


def test_a_solution_without_a_final_answer_is_named(tmp_path: Path) -> None:
    rows = hub_rows("gsm8k", ROWS)
    rows[2]["answer"] = "3 + 2 = 5"
    write_jsonl(tmp_path / "gsm8k.jsonl", rows)
    with pytest.raises(ConfigError, match="####") as caught:
        benchmark_source("gsm8k", tmp_path).load()
    assert caught.value.where.endswith("gsm8k.jsonl, line 3")


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_field_is_named_with_those_that_are_there(online: Hub, name: str) -> None:
    copy = BY_NAME[name].copies[0]
    online(copy.repo, file_of(copy), [{"text": row.get("question", "x")} for row in hub_rows(name, ROWS)])
    with pytest.raises(ConfigError, match=f"rows of {name} have no field") as caught:
        benchmark_source(name).load()
    assert "(there are: text)" in caught.value.what
    assert caught.value.where.endswith("row 1")


def test_a_letter_of_no_option_is_refused(online: Hub) -> None:
    rows = hub_rows("mmlu-pro", ROWS)
    rows[0]["answer"] = "E"
    online("TIGER-Lab/MMLU-Pro", "data/test-00000-of-00001.parquet", rows)
    with pytest.raises(ConfigError, match="A to D") as caught:
        benchmark_source("mmlu-pro").load()
    assert caught.value.where.endswith("row 1")


def test_a_renamed_split_is_refused_with_those_that_are_there(online: Hub) -> None:
    online("openai/gsm8k", "main/train-00000-of-00001.parquet", hub_rows("gsm8k", ROWS))
    online("openai/gsm8k", "main/validation-00000-of-00001.parquet", hub_rows("gsm8k", ROWS))
    with pytest.raises(ConfigError, match="no split 'test'") as caught:
        benchmark_source("gsm8k").load()
    assert "(there is: train, validation)" in caught.value.what
    assert "--data" in caught.value.fix


def test_another_configuration_is_not_read(online: Hub) -> None:
    online("openai/gsm8k", "main/test-00000-of-00001.parquet", hub_rows("gsm8k", ROWS))
    online("openai/gsm8k", "socratic/test-00000-of-00001.parquet", hub_rows("gsm8k", 7))
    assert len(benchmark_source("gsm8k").load().problems) == ROWS


def test_a_wrong_number_of_rows_is_refused_unless_it_is_accepted(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "gsm8k.jsonl", hub_rows("gsm8k", 5))
    with pytest.raises(ConfigError, match="has 3 rows, and this copy 5") as caught:
        benchmark_source("gsm8k", tmp_path).load()
    assert "--any-copy" in caught.value.fix
    source = benchmark_source("gsm8k", tmp_path, any_copy=True)
    assert source.size == len(source.load().problems) == 5
    assert source.load().notes == ("gsm8k has 3 rows, and this copy 5",)


def test_other_answers_than_the_known_ones_are_refused_unless_they_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = hub_rows("aime24", ROWS)
    write_jsonl(tmp_path / "aime24.jsonl", rows)
    known = answers_digest(benchmark_source("aime24", tmp_path).load().problems)
    monkeypatch.setitem(BY_NAME, "aime24", replace(BY_NAME["aime24"], answers=known))
    assert benchmark_source("aime24", tmp_path).load().notes == ()
    rows[0]["answer"] = "900"
    write_jsonl(tmp_path / "aime24.jsonl", rows)
    with pytest.raises(ConfigError, match="answers are not those of aime24"):
        benchmark_source("aime24", tmp_path).load()
    (note,) = benchmark_source("aime24", tmp_path, any_copy=True).load().notes
    assert "answers" in note


def test_another_content_than_the_known_one_is_refused(online: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    online("HuggingFaceH4/MATH-500", "test.jsonl", hub_rows("math-500", ROWS))
    digest = benchmark_source("math-500").load().digest
    (copy,) = BY_NAME["math-500"].copies
    for known, wanted in ((digest, True), ("0" * 64, False)):
        monkeypatch.setitem(BY_NAME, "math-500", replace(BY_NAME["math-500"], copies=(replace(copy, digest=known),)))
        if wanted:
            assert benchmark_source("math-500").load().digest == digest
        else:
            with pytest.raises(ConfigError, match=f"digest is {digest[:12]}, not 000000000000"):
                benchmark_source("math-500").load()


def test_repeated_rows_of_a_set_are_kept_and_told(tmp_path: Path) -> None:
    rows = hub_rows("gsm8k", 2)
    write_jsonl(tmp_path / "gsm8k.jsonl", [*rows, rows[0]])
    loaded = benchmark_source("gsm8k", tmp_path).load()
    assert len(loaded.problems) == ROWS
    assert loaded.notes == ("1 rows repeat an earlier question, as in the set itself",)


@pytest.mark.parametrize("file", ["GSM_8K.jsonl", "gsm.parquet", "gsm8k.csv"])
def test_a_folder_may_call_a_benchmark_by_any_of_its_names(tmp_path: Path, file: str) -> None:
    rows = hub_rows("gsm8k", ROWS)
    if file.endswith(".csv"):
        lines = "".join(f'"{row["question"]}","{row["answer"]}"\n' for row in rows)
        (tmp_path / file).write_text(f"question,answer\n{lines}")
    else:
        (write_parquet if file.endswith(".parquet") else write_jsonl)(tmp_path / file, rows)
    assert len(benchmark_source("gsm8k", tmp_path).load().problems) == ROWS


@pytest.mark.parametrize("place", ["openai/gsm8k", "gsm8k", "datasets--openai--gsm8k/snapshots/abc"])
def test_a_folder_may_hold_the_files_of_a_repository(tmp_path: Path, place: str) -> None:
    write_parquet(tmp_path / place / "main" / "test-00000-of-00001.parquet", hub_rows("gsm8k", ROWS))
    write_parquet(tmp_path / place / "main" / "train-00000-of-00001.parquet", hub_rows("gsm8k", 9))
    loaded = benchmark_source("gsm8k", tmp_path).load()
    assert len(loaded.problems) == ROWS
    assert loaded.copy == f"{tmp_path / place} main/test"


def test_a_folder_without_the_benchmark_is_refused_and_nothing_is_fetched(online: Hub, tmp_path: Path) -> None:
    online("openai/gsm8k", "main/test-00000-of-00001.parquet", hub_rows("gsm8k", ROWS))
    with pytest.raises(ConfigError, match="not in the folder") as caught:
        benchmark_source("gsm8k", tmp_path).load()
    assert "gsm8k.jsonl" in caught.value.fix
    with pytest.raises(ConfigError, match="no such folder"):
        benchmark_source("gsm8k", tmp_path / "nowhere").load()


def test_a_benchmark_is_read_when_it_is_needed_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(copy: Copy) -> hub.Found:
        asked.append(copy.repo)
        raise hub.Unavailable("gone")

    monkeypatch.setattr(benchmarks, "fetched", fetch)
    suite = suite_of(benchmark_source("gsm8k"), samples=4, limit=2)
    assert (suite.size, suite.answers, asked) == (2, 10, [])


def test_the_answers_of_a_set_have_one_digest_however_its_questions_are_set(tmp_path: Path) -> None:
    rows = hub_rows("amc", ROWS)
    write_parquet(tmp_path / "a" / "amc.parquet", rows)
    texts = [{"problem": f"$ {row['question']} $", "answer": f"{row['answer']}"} for row in reversed(rows)]
    write_jsonl(tmp_path / "b" / "amc.jsonl", texts)
    one, other = (benchmark_source("amc", tmp_path / name).load() for name in "ab")
    assert one.digest != other.digest
    assert answers_digest(one.problems) == answers_digest(other.problems)
