"""A user's own file is read whole or refused with the row and the fix; nothing of it is dropped or guessed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from benchmark_rows import write_jsonl, write_parquet

from coevolve.errors import ConfigError
from coevolve.grading.grade import Kind
from coevolve.suites.base import content_digest
from coevolve.suites.files import file_source, suite_name
from coevolve.types import LabelledTask

ROWS = [
    {"question": "What is 2 + 3?", "answer": 5, "level": 1, "id": "sum"},
    {"question": "Write 1/2 as a decimal.", "answer": 0.50, "level": "two", "topic": "decimals"},
    {"question": "Which is even?", "answer": "b", "options": ["3", "4"]},
    {"question": "Say yes, in capitals.", "answer": "YES", "kind": "exact"},
]


def write(folder: Path, text: str | bytes, name: str = "mine.jsonl") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        file_source(path)
    assert caught.value.where.startswith(str(path))
    return caught.value


def test_a_row_becomes_a_problem_with_all_that_its_file_says(tmp_path: Path) -> None:
    source = file_source(write_jsonl(tmp_path / "my questions.jsonl", ROWS))
    first, second, third, fourth = source.load().problems
    assert (source.name, source.size) == ("my-questions", 4)
    assert (first.task.id, first.task.question, first.truth) == ("my-questions-sum", "What is 2 + 3?", "5")
    assert (first.kind, first.level, second.level, second.topic) == (Kind.MATH, "1", "two", "decimals")
    assert (third.kind, third.truth, third.options) == (Kind.CHOICE, "B", ("3", "4"))
    assert "(A): 3\n(B): 4" in third.task.question
    assert (fourth.kind, fourth.truth, fourth.task.id) == (Kind.EXACT, "YES", "my-questions-4")


def test_a_suite_cannot_be_trained_on(tmp_path: Path) -> None:
    (problem, *_) = file_source(write_jsonl(tmp_path / "mine.jsonl", ROWS)).load().problems
    with pytest.raises(ValueError, match="suite"):
        LabelledTask(problem.task, "5", 0.5, 10)


def test_all_formats_give_the_same_problems(tmp_path: Path) -> None:
    rows = [{"question": f"What is {i} + 2, that is, two more?", "answer": str(i + 2)} for i in range(1, 4)]
    files = [
        write_jsonl(tmp_path / "a.jsonl", rows),
        write(tmp_path, json.dumps(rows), "a.json"),
        write_parquet(tmp_path / "a.parquet", rows),
        write(tmp_path, "question,answer\n" + "".join(f'"{r["question"]}",{r["answer"]}\n' for r in rows), "a.csv"),
    ]
    digests = {file_source(path).load().digest for path in files}
    assert len(digests) == 1


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_the_text(tmp_path: Path) -> None:
    plain = file_source(write(tmp_path, "question,answer\nOne plus one?,2\n", "a.csv")).load()
    other = file_source(write(tmp_path, b"\xef\xbb\xbfquestion,answer\r\nOne plus one?,2\r\n", "b.csv")).load()
    lines = file_source(write(tmp_path, b'\xef\xbb\xbf{"question": "One plus one?", "answer": 2}\r\n\r\n')).load()
    assert plain.digest == other.digest == lines.digest
    assert other.problems[0].truth == "2"


def test_a_separator_within_a_text_ends_no_line(tmp_path: Path) -> None:
    (problem,) = file_source(write(tmp_path, '{"question": "One\u2028plus\x85one?", "answer": "2"}')).load().problems
    assert problem.task.question == "One\u2028plus\x85one?"


@pytest.mark.parametrize("columns", [("problem", "final_answer"), ("Question", "Answer"), ("question", "gold")])
def test_columns_may_have_their_other_names(tmp_path: Path, columns: tuple[str, str]) -> None:
    (problem,) = file_source(write_jsonl(tmp_path / "a.jsonl", [{columns[0]: "1 + 1?", columns[1]: 2}])).load().problems
    assert (problem.task.question, problem.truth) == ("1 + 1?", "2")


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    text = (
        '{"question": "pi?", "answer": 3.14159265358979323846264}\n{"question": "big?", "answer": 12345678901234567890}'
    )
    assert [p.truth for p in file_source(write(tmp_path, text)).load().problems] == [
        "3.14159265358979323846264",
        "12345678901234567890",
    ]


def test_whole_numbers_of_a_parquet_column_with_gaps_have_no_fraction(tmp_path: Path) -> None:
    rows = [{"question": "1 + 1?", "answer": 2.0, "level": 1.0}, {"question": "a half?", "answer": 0.5, "level": None}]
    problems = file_source(write_parquet(tmp_path / "a.parquet", rows)).load().problems
    assert [(p.truth, p.level) for p in problems] == [("2", "1"), ("0.5", "")]


def test_a_number_that_is_none_is_no_answer(tmp_path: Path) -> None:
    rows = [{"question": "1 + 1?", "answer": 2.0}, {"question": "a half?", "answer": float("nan")}]
    error = refused(write_parquet(tmp_path / "a.parquet", rows))
    assert "no answer" in error.what
    assert error.where.endswith("row 2")


def test_options_of_a_csv_file_are_a_list_in_a_cell(tmp_path: Path) -> None:
    text = 'question,options,answer\nWhich is odd?,"[""2"", ""3""]",B\n'
    (problem,) = file_source(write(tmp_path, text, "a.csv")).load().problems
    assert (problem.options, problem.truth) == (("2", "3"), "B")


def test_a_file_called_as_a_benchmark_keeps_its_ending(tmp_path: Path) -> None:
    assert suite_name(tmp_path / "gsm8k.jsonl") == "gsm8k.jsonl"
    assert suite_name(tmp_path / "gsm8k of mine.jsonl") == "gsm8k-of-mine"
    with pytest.raises(ConfigError, match="rename"):
        suite_name(tmp_path / "???.csv")


def test_repeated_rows_are_kept_and_told(tmp_path: Path) -> None:
    rows = [{"question": "1 + 1?", "answer": 2}, {"question": "1 +  1?", "answer": 2}, {"question": "0?", "answer": 0}]
    loaded = file_source(write_jsonl(tmp_path / "a.jsonl", rows)).load()
    assert len(loaded.problems) == 3
    assert loaded.notes == ("1 rows repeat an earlier question and count as often as they stand there: line 2",)


def test_columns_without_a_meaning_are_told(tmp_path: Path) -> None:
    loaded = file_source(write_jsonl(tmp_path / "a.jsonl", [{"question": "1?", "answer": 1, "levle": 3}])).load()
    assert loaded.notes == ("columns that are not used: levle",)


FAULTS = {
    "no question field": ('{"q": "1?", "answer": 1}', "", "'question'", "'problem'"),
    "no answer field": ('{"question": "1?", "anwser": 1}', "", "'answer'", "'final_answer'"),
    "two answer fields": ('{"question": "1?", "answer": 1, "gold": 1}', "", "'answer' and 'gold'", "rename"),
    "row without answer": (
        '{"question": "1?", "answer": 1}\n{"question": "2?", "answer": " "}',
        ", line 2",
        "no answer",
        "fill",
    ),
    "row with null": (
        '{"question": "1?", "answer": 1}\n\n{"question": "2?", "answer": null}',
        ", line 3",
        "no answer",
        "fill",
    ),
    "row that lacks it": ('{"question": "1?", "answer": 1}\n{"question": "2?"}', ", line 2", "no answer", "fill"),
    "no question": ('{"question": "", "answer": 1}', ", line 1", "no question", "fill"),
    "question is a number": ('{"question": 7, "answer": 1}', ", line 1", "a number, not a text", "as a text"),
    "answer is a list": ('{"question": "1?", "answer": [1]}', ", line 1", "a list", '"answer": "42"'),
    "answer is true": ('{"question": "1?", "answer": true}', ", line 1", "true or false", '"answer": "42"'),
    "solution": ('{"question": "1?", "answer": "1 = 1 #### 1"}', ", line 1", "####", "final answer"),
    "two ids": (
        '{"question": "1?", "answer": 1, "id": 4}\n{"question": "2?", "answer": 2, "id": "4"}',
        ", line 2, id 4",
        "line 1",
        "its own",
    ),
    "two answers": (
        '{"question": "1?", "answer": 1}\n{"question": "1?", "answer": 2}',
        ", line 2",
        "another answer than in",
        "keep the row",
    ),
    "no letter": ('{"question": "1?", "answer": "x y", "kind": "choice"}', ", line 1", "letter from A to Z", "letter"),
    "letter of no option": ('{"question": "1?", "answer": "C", "options": ["1", "2"]}', ", line 1", "A to B", "letter"),
    "text of an option": ('{"question": "1?", "answer": "1", "options": ["2", "1"]}', ", line 1", "A to B", "'B'"),
    "one option": ('{"question": "1?", "answer": "A", "options": ["1"]}', ", line 1", "list of 2 to 26", "options"),
    "kind": ('{"question": "1?", "answer": 1, "kind": "maths"}', ", line 1", "'maths'", "math, choice, fuzzy, exact"),
    "kind with options": (
        '{"question": "1?", "answer": 1, "kind": "math", "options": ["1", "2"]}',
        ", line 1",
        "'math'",
        "remove",
    ),
    "level": ('{"question": "1?", "answer": 1, "level": {"a": 1}}', ", line 1", "an object", "as a text"),
    "no JSON": (
        '{"question": "1?", "answer": 1}\n{"question": "2?",',
        ", line 2",
        "not JSON",
        "one JSON object per line",
    ),
    "no object": ('{"question": "1?", "answer": 1}\n[1, 2]', ", line 2", "a list, not an object", '"question"'),
    "NaN": ('{"question": "1?", "answer": NaN}', ", line 1", "NaN", "one JSON object per line"),
    "half a character": (
        '{"question": "1?", "answer": 1}\n{"question": "\\ud83d?", "answer": 1}',
        ", line 2",
        "half a character",
        "itself",
    ),
    "field twice": (
        '{"question": "1?", "answer": 1, "answer": 2}',
        ", line 1",
        "'answer' stands there twice",
        "per line",
    ),
    "empty": ("\n \n", "", "no rows", "one question"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_row_that_cannot_be_measured_is_refused_with_its_place_and_a_fix(tmp_path: Path, fault: str) -> None:
    text, place, what, fix = FAULTS[fault]
    error = refused(write(tmp_path, text))
    assert error.where == f"{tmp_path / 'mine.jsonl'}{place}"
    assert what in error.what
    assert fix in error.fix


def test_bytes_that_are_no_utf_8_are_refused_with_their_line(tmp_path: Path) -> None:
    error = refused(write(tmp_path, b'{"question": "1?", "answer": 1}\n{"question": "caf\xe9?", "answer": 2}'))
    assert error.where.endswith("line 2")
    assert "0xe9" in error.what
    assert "UTF-8" in error.fix


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.csv", "question,answer\nx,1,2\n", "3 fields"),
        ("a.csv", "question;answer\nx;1\n", "not separated by commas"),
        ("a.csv", "question,question\nx,1\n", "'question' twice"),
        ("a.csv", 'question,answer\n"x,1\n', "not CSV"),
        ("a.csv", "question,answer\n", "no rows"),
        ("a.json", '{"rows": []}', "an object, not a list"),
        ("a.json", '{"question": "x", "answer": 1}\n{"question": "y", "answer": 2}', "not JSON"),
        ("a.json", "[]", "no rows"),
        ("a.parquet", "question", "not Parquet"),
        ("a.txt", "question", ".jsonl"),
    ],
)
def test_a_file_of_another_form_than_its_ending_says_is_refused(
    tmp_path: Path, name: str, text: str, what: str
) -> None:
    assert what in refused(write(tmp_path, text, name)).what


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "no.jsonl").what


@pytest.mark.parametrize("seed", range(5))
def test_the_digest_depends_on_questions_and_answers_alone(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    rows = [{"question": f"What is {i} times {i}?", "answer": i * i, "id": f"r{i}"} for i in range(20)]
    one = file_source(write_jsonl(tmp_path / "one.jsonl", rows)).load()
    others = [
        {"problem": row["question"].replace(" ", "  "), "answer": str(row["answer"]), "level": rng.random()}
        for row in rng.sample(rows, len(rows))
    ]
    assert file_source(write_jsonl(tmp_path / "other.jsonl", others)).load().digest == one.digest
    others[rng.randrange(20)]["answer"] = "-1"
    assert file_source(write_jsonl(tmp_path / "wrong.jsonl", others)).load().digest != one.digest
    assert content_digest(one.problems[1:]) != one.digest
