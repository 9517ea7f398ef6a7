"""A scripted judge on loopback: what its verdicts change, and that nothing is asked twice."""

from pathlib import Path

import pytest
from scripted_endpoint import Act, Asked, Fails, Says, Script, ScriptedEndpoint

from coevolve.endpoint import client as client_module
from coevolve.endpoint.client import Patience
from coevolve.errors import CoevolveError, RunError
from coevolve.grading.grade import Kind
from coevolve.harness.judge import Comparison, ModelJudge, comparison, judged
from coevolve.harness.results import Answer, JudgeResult
from coevolve.suites.base import task_of
from coevolve.worlds.base import Problem

PATIENCE = Patience(concurrency=2, timeout_s=300, retries=1)
PROBLEMS = {p.task.id: p for p in (Problem(task_of("s", str(i), f"Question {i}?"), "two dozen") for i in range(3))}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.001)


def parts(asked: Asked) -> tuple[str, str]:
    """The two answers as they were shown."""
    first, second = (
        asked.question.partition(f"<{name}>\n")[2].partition(f"\n</{name}>")[0] for name in ("first", "second")
    )
    return first, second


def saying(verdicts: dict[str, str]) -> Script:
    """What it says about an answer, in either order; "A B" are two verdicts, of the answer first and second."""

    def script(asked: Asked) -> Act:
        first, second = parts(asked)
        answer = second if first == "two dozen" else first
        words = verdicts[answer].split()
        return Says(f"Let me see.\nVerdict: {words[-1] if first == 'two dozen' else words[0]}")

    return script


def line(problem: int, sample: int, answer: str | None, right: bool, fault: str = "") -> Answer:
    return Answer(f"s-{problem}", sample, "", answer, "eos", 0, 0, 0, 0.0, fault=fault, right=right)


ANSWERS = [
    line(0, -1, "24", False),
    line(1, -1, "two dozen", True),
    line(2, -1, None, False),
    line(0, 0, "24", False),
    line(0, 1, "25", True),  # by mistake
    line(1, 0, None, False, fault="lost"),
    line(1, 1, "unclear one", True),
    line(2, 0, "another unclear one", False),
    line(2, 1, "26", False),
]
VERDICTS = {
    "24": "same",
    "two dozen": "same",
    "25": "different",
    "unclear one": "same different",
    "another unclear one": "perhaps",
    "26": "different",
}


def test_figures_are_those_of_the_judge_and_of_the_grader_where_it_is_undecided(tmp_path: Path) -> None:
    with ScriptedEndpoint(saying(VERDICTS)) as server:
        judge = ModelJudge(server.url, memory=tmp_path / "judge.jsonl", patience=PATIENCE)
        result = judged(judge, PROBLEMS, lambda: ANSWERS)
        judge.close()
        name = f"scripted at {server.url}"
        asked = len(server.asked)
    # Greedy: 24 turned right, two dozen stays right, no answer. Sampled: (24 right + 25 wrong) / 2, 1 / 1, 0 / 2.
    assert result == JudgeResult(
        name, greedy=2 / 3, mean=(1 / 2 + 1 + 0) / 3, asked=7, turned_right=2, turned_wrong=1, undecided=2
    )
    # Six pairs of a question and its answer, each in both orders but for the two that show the same text twice.
    assert asked == 2 * 6 - 1


def test_right_and_wrong_answers_are_asked_about_in_both_orders(tmp_path: Path) -> None:
    with ScriptedEndpoint(saying(VERDICTS)) as server:
        judge = ModelJudge(server.url, memory=tmp_path / "judge.jsonl", patience=PATIENCE)
        judge.ask([Comparison("Q?", "24", "two dozen"), Comparison("Q?", "25", "two dozen")])
        judge.close()
        shown = {parts(asked) for asked in server.asked}
        assert all(asked.body["temperature"] == 0 for asked in server.asked)
    assert shown == {("24", "two dozen"), ("two dozen", "24"), ("25", "two dozen"), ("two dozen", "25")}


def test_nothing_is_asked_twice_by_the_next_command(tmp_path: Path) -> None:
    memory = tmp_path / "judge.jsonl"
    with ScriptedEndpoint(saying(VERDICTS)) as server:
        results = []
        for _ in range(2):
            judge = ModelJudge(server.url, memory=memory, patience=PATIENCE)
            results.append(judged(judge, PROBLEMS, lambda: ANSWERS))
            judge.close()
        assert len(server.asked) == 11
    assert results[0] == results[1]


def test_another_judge_is_asked_anew(tmp_path: Path) -> None:
    with ScriptedEndpoint(saying(VERDICTS), models=("scripted", "scripted-2")) as server:
        for model in ("scripted", "scripted-2"):
            judge = ModelJudge(server.url, model, memory=tmp_path / "judge.jsonl", patience=PATIENCE)
            judge.ask([Comparison("Q?", "24", "two dozen")])
            judge.close()
        assert len(server.asked) == 4


def test_a_torn_line_is_asked_again_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    memory = tmp_path / "judge.jsonl"
    pair = Comparison("Q?", "24", "two dozen")
    with ScriptedEndpoint(saying(VERDICTS)) as server:
        for cut in (0, 10):
            if cut:
                memory.write_bytes(memory.read_bytes()[:-cut])
            judge = ModelJudge(server.url, memory=memory, patience=PATIENCE)
            judge.ask([pair])
            assert judge.same(pair) is True
            judge.close()
        assert len(server.asked) == 3
        assert len(memory.read_bytes().splitlines()) == 2
        memory.write_text("no json\n")
        with pytest.raises(RunError, match="line 1"):
            ModelJudge(server.url, memory=memory, patience=PATIENCE)


def test_what_the_judge_fails_to_say_is_undecided_and_asked_again(tmp_path: Path) -> None:
    memory, pair = tmp_path / "judge.jsonl", Comparison("Q?", "24", "two dozen")
    with ScriptedEndpoint(lambda asked: Fails(500)) as server:
        judge = ModelJudge(server.url, memory=memory, patience=PATIENCE)
        judge.ask([pair])
        assert judge.same(pair) is None
        judge.ask([])
        assert len(server.asked) == 4  # two orders, each with one more attempt
        judge.close()
    assert memory.read_bytes() == b""


def test_a_judge_that_is_not_let_in_names_its_option(tmp_path: Path) -> None:
    with ScriptedEndpoint(saying(VERDICTS), key="k") as server:
        judge = ModelJudge(server.url, "scripted", memory=tmp_path / "judge.jsonl", patience=PATIENCE)
        with pytest.raises(CoevolveError, match="--judge-key-env"):
            judge.ask([Comparison("Q?", "24", "two dozen")])
        judge.close()


@pytest.mark.parametrize(
    ("said", "same"),
    [
        ("Verdict: same", True),
        ("**Verdict:** Same.", True),
        ("different", False),
        ("Verdict: same? No. Verdict: different", False),
        ("They are the same in a different form", None),
        ("", None),
    ],
)
def test_the_last_verdict_of_a_text_counts(tmp_path: Path, said: str, same: bool | None) -> None:
    pair = Comparison("Q?", "24", "two dozen")
    with ScriptedEndpoint(lambda asked: Says(said)) as server:
        judge = ModelJudge(server.url, memory=tmp_path / "judge.jsonl", patience=PATIENCE)
        judge.ask([pair])
        assert judge.same(pair) is same
        judge.close()


def test_letters_missing_answers_and_questions_with_many_right_answers_are_not_compared() -> None:
    task = task_of("s", "0", "Q?")
    assert comparison(Problem(task, "1"), "2") == Comparison("Q?", "2", "1")
    assert comparison(Problem(task, "1"), None) is None
    assert comparison(Problem(task, None), "2") is None
    assert comparison(Problem(task, "A", Kind.CHOICE), "B") is None
    assert comparison(Problem(task, "1", scorer=lambda answer: True), "2") is None


def test_an_answer_of_great_length_is_undecided_unasked(tmp_path: Path) -> None:
    pair = Comparison("Q?", "2" * 3000, "1")
    with ScriptedEndpoint(saying({})) as server:
        judge = ModelJudge(server.url, memory=tmp_path / "judge.jsonl", patience=PATIENCE)
        judge.ask([pair])
        assert judge.same(pair) is None
        judge.close()
        assert not server.asked
