"""What an evaluation leaves on the disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from coevolve.errors import RunError
from coevolve.harness import results
from coevolve.harness.results import Answer, EvalResult, PartResult, Rates, Records, SuiteResult, TargetResult

ANSWER = Answer(
    problem="mine-1", sample=0, text="I add.\n\\boxed{7}", answer="7", stop="eos", tokens=5, tool_calls=1,
    tool_timeouts=0, wall_s=0.25, right=True, read="7", paper=True, paper_read="7",
)  # fmt: skip
SUITE = SuiteResult(
    n=2, k=4, greedy=0.5, mean=0.375, se=0.125, ci95=(0.0, 1.0), majority=0.5, pass_at={"1": 0.375, "2": 0.5},
    answers=10, unparsed=1, cut_off=1, lost=0, tool_timeouts=0, tokens=50, tool_calls=3, wall_s=1.5,
    paper=Rates(0.5, 0.25, 0.5),
    digest="ab" * 32, copy="mine.jsonl", licence="unknown", by_level={"1": PartResult(2, 0.5, 0.375)},
)  # fmt: skip
RESULT = EvalResult(TargetResult("model", {"seed": 0}), True, {"mine": SUITE})


def file_of(folder: Path, *lines: bytes) -> Records:
    path = results.answers_path(folder, "mine")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    return Records(path)


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    lost = Answer("mine-2", -1, "", None, "", 0, 0, 0, 0.0, fault="the server stalled")
    hostile = replace(ANSWER, text='a "quote",\n\u2028 a control character \x00')
    assert list(file_of(tmp_path, *map(results.to_line, (ANSWER, lost, hostile)))) == [ANSWER, lost, hostile]


def test_half_a_surrogate_pair_is_stored_as_a_question_mark(tmp_path: Path) -> None:
    (found,) = file_of(tmp_path, results.to_line(replace(ANSWER, text="a\ud800b", answer="\udfff")))
    assert (found.text, found.answer) == ("a?b", "?")


def test_a_torn_last_line_does_not_count(tmp_path: Path) -> None:
    whole = results.to_line(ANSWER)
    records = file_of(tmp_path, whole, whole[:-9])
    assert list(records) == [ANSWER]
    assert records.whole_bytes == len(whole)


def test_no_file_has_no_answers(tmp_path: Path) -> None:
    records = Records(tmp_path / "none.jsonl")
    assert list(records) == []
    assert records.whole_bytes == 0


@pytest.mark.parametrize("damage", [b"\0\0\0\n", b"{}\n", b'{"problem": 1}\n', b"[]\n"])
def test_a_damaged_line_is_named(tmp_path: Path, damage: bytes) -> None:
    with pytest.raises(RunError, match=r"mine\.jsonl, line 2"):
        list(file_of(tmp_path, results.to_line(ANSWER), damage, results.to_line(ANSWER)))


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    results.write(tmp_path, RESULT)
    assert results.read(tmp_path) == RESULT
    assert RESULT.suites["mine"].accuracy == 0.375
    assert replace(SUITE, mean=None).accuracy == 0.5


def test_keys_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    content = json.loads(results.to_json(RESULT)) | {"later": 1}
    (tmp_path / "eval.json").write_text(json.dumps(content))
    assert results.read(tmp_path) == RESULT


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "damaged"), ("{}", "damaged: target"), ('{"schema": 9}', "schema 9"), ("[]", "damaged")],
)
def test_what_cannot_be_read_says_so(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "eval.json").write_text(content)
    with pytest.raises(RunError, match=said):
        results.read(tmp_path)


def test_a_folder_without_an_evaluation_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no evaluation"):
        results.read(tmp_path)
