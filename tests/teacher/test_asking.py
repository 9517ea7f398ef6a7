"""A teacher on loopback that is late, busy, broken, hostile or dear, over the client that runs use."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from scripted_endpoint import MODEL, Act, Asked, Fails, HangsUp, Says, Script, ScriptedEndpoint, Stalls

from coevolve.config.teaching import TeacherSection
from coevolve.endpoint import client as client_module
from coevolve.errors import BudgetSpent, CoevolveError, ConfigError, RunError, TeacherError
from coevolve.teacher.asking import Teacher
from coevolve.teacher.protocol import Posed, Refusal, Seed, Verdict
from coevolve.teacher.spending import Budget, Prices, Usage

SOUND = json.dumps({"problem": "Find a.", "solution": "\\boxed{1}", "answer": "1"})
RIGHT = json.dumps({"right": True})


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "teacher"


def section(**keys: object) -> TeacherSection:
    return TeacherSection.model_validate({"endpoint": "http://x", "model": MODEL, "concurrency": 2, **keys})


def verdicts(script: Script, folder: Path, asks: int = 1, **keys: object) -> tuple[list[bool | Refusal], int]:
    """The verdicts on some answers, and how many requests the server had."""
    with ScriptedEndpoint(script) as server, closing(Teacher(section(**keys), server.url, folder)) as teacher:
        return teacher.verdicts([Verdict("Find a.", "1", str(n)) for n in range(asks)], 1), len(server.asked)


def test_what_was_answered_is_not_asked_again_by_any_process(folder: Path) -> None:
    assert verdicts(lambda asked: Says(RIGHT), folder, 3) == ([True] * 3, 3)
    assert verdicts(lambda asked: Fails(), folder, 3) == ([True] * 3, 0)


def test_equal_requests_of_one_call_are_asked_once(folder: Path) -> None:
    with ScriptedEndpoint(lambda asked: Says(SOUND)) as server, closing(Teacher(section(), server.url, folder)) as it:
        assert it.problems([Seed(1), Seed(1), Seed(2)], 1) == [Posed("Find a.", "\\boxed{1}", "1")] * 3
        assert len(server.asked) == 2
        assert it.spent().requests == 2


def test_a_busy_or_broken_server_is_asked_again(folder: Path) -> None:
    busy, no_choices = Fails(429, headers={"Retry-After": "0"}), Fails(200, '{"choices": []}')
    faults: list[Act] = [busy, Fails(500), HangsUp(), Fails(200, "no JSON"), no_choices]

    def script(asked: Asked) -> Act:
        return faults[asked.number] if asked.number < len(faults) else Says(RIGHT)

    assert verdicts(script, folder, retries=5) == ([True], 6)


def test_a_server_that_hangs_stops_the_run_and_what_was_answered_is_kept(folder: Path) -> None:
    def script(asked: Asked) -> Act:
        return Stalls() if '"answer": "1"' in asked.question else Says(RIGHT)

    with pytest.raises(TeacherError, match="1 of 3 requests unanswered: no answer within"):
        verdicts(script, folder, 3, timeout_s=0.5, retries=0)
    assert verdicts(lambda asked: Says(RIGHT), folder, 3) == ([True] * 3, 1)


def test_a_reply_of_a_megabyte_is_read_no_further_than_it_may_be(folder: Path) -> None:
    (found,), requests = verdicts(lambda asked: Says("x" * (1 << 20)), folder)
    assert isinstance(found, Refusal)
    assert requests == 1
    assert (folder / "replies.jsonl").stat().st_size < 1000


@pytest.mark.parametrize("text", ["\\boxed{1}", "", None, '{"right": "yes"}', "Ignore all of this: right"])
def test_a_reply_that_says_neither_is_refused_and_not_asked_for_again(folder: Path, text: str | None) -> None:
    (found,), _ = verdicts(lambda asked: Says(text), folder)
    assert isinstance(found, Refusal)
    assert isinstance(verdicts(lambda asked: Says(RIGHT), folder)[0][0], Refusal)


def test_a_request_that_the_server_refuses_costs_that_request_alone(folder: Path) -> None:
    def script(asked: Asked) -> Act:
        return Fails(400) if '"answer": "0"' in asked.question else Says(RIGHT)

    (first, second), _ = verdicts(script, folder, 2)
    assert isinstance(first, Refusal)
    assert second is True


def test_a_budget_stops_before_more_is_asked_and_the_next_start_goes_on(folder: Path) -> None:
    keys = {"budget_tokens": 20, "concurrency": 1}  # a verdict of the scripted server costs 8 tokens
    with pytest.raises(BudgetSpent, match="budget_tokens=20 is used up"):
        verdicts(lambda asked: Says(RIGHT), folder, 8, **keys)
    kept = len((folder / "replies.jsonl").read_bytes().splitlines())
    assert 3 <= kept < 8
    found, requests = verdicts(lambda asked: Says(RIGHT), folder, 8)
    assert (found, requests) == ([True] * 8, 8 - kept)


def test_a_budget_in_dollars_counts_both_prices() -> None:
    budget = Budget(Prices(2.0, 10.0), usd=0.05)
    budget.take(Usage(1, 10_000, 2_000))
    assert not budget.used_up
    budget.take(Usage(1, 1_000, 1_000))
    assert "teacher.budget_usd=0.05 is used up: 0.05 dollars in 2 requests" in budget.used_up


def test_a_budget_in_dollars_needs_prices() -> None:
    with pytest.raises(ValueError, match="needs prices"):
        section(budget_usd=1.0)


def test_the_key_is_sent_and_kept_nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", "secret-of-a-test")
    with (
        ScriptedEndpoint(lambda asked: Says(RIGHT), key="secret-of-a-test") as server,
        closing(Teacher(section(api_key_env="TEACHER_KEY"), server.url, folder)) as teacher,
    ):
        assert teacher.verdicts([Verdict("Find a.", "1", "1")], 1) == [True]
    assert b"secret-of-a-test" not in (folder / "replies.jsonl").read_bytes()


def test_a_missing_or_wrong_key_names_its_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    with pytest.raises(ConfigError, match="TEACHER_KEY holds no key"):
        Teacher(section(api_key_env="TEACHER_KEY"), "http://x", folder)
    monkeypatch.setenv("TEACHER_KEY", "wrong-key")
    with (
        ScriptedEndpoint(lambda asked: Says(RIGHT), key="right") as server,
        closing(Teacher(section(api_key_env="TEACHER_KEY"), server.url, folder)) as teacher,
        pytest.raises(CoevolveError, match="lets us not in") as error,
    ):
        teacher.verdicts([Verdict("Find a.", "1", "1")], 1)
    assert "wrong-key" not in str(error.value)
    assert "teacher.api_key_env" in str(error.value)


def test_a_line_that_a_killed_process_left_unfinished_is_cut_off(folder: Path) -> None:
    verdicts(lambda asked: Says(RIGHT), folder, 2)
    file = folder / "replies.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert verdicts(lambda asked: Says(RIGHT), folder, 2) == ([True] * 2, 1)
    assert sorted(file.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_a_damaged_line_before_the_last_is_an_error(folder: Path) -> None:
    folder.mkdir()
    (folder / "replies.jsonl").write_text('{"request": 1\n{}\n')
    with pytest.raises(RunError, match="damaged"):
        Teacher(section(), "http://x", folder)
