"""`coevolve eval` on the ten benchmarks against a scripted server: known scores to the last digit, kills and faults."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from math import comb
from pathlib import Path
from typing import Any

import pytest
import ten_benchmarks as ten
from scripted_endpoint import Act, Asked, Fails, HangsUp, Says, ScriptedEndpoint, Seats, Stalls
from ten_benchmarks import MAJORITY, NOTHING, PAPER, RIGHT, ROWS, STRICT, Row

from coevolve.cli import app
from coevolve.endpoint import client as client_module
from coevolve.grading.grade import Kind

SMALL = ("amc", "aime24", "aime25")  # those with 32 answers per problem
LARGE = tuple(name for name in ten.MAKERS if name not in SMALL)
KS = {name: 32 if name in SMALL else 4 for name in ten.MAKERS}
Suites = dict[str, tuple[Row, ...]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def suites(data: Path) -> Suites:
    return ten.write(data)


@dataclass(frozen=True)
class Measured:
    suites: dict[str, Any]  # of eval.json
    folder: Path


def options(data: Path, folder: Path, names: tuple[str, ...], *more: str) -> list[str]:
    """Of a command that measures these benchmarks; they are shorter than the real ones."""
    return [f"--suite={','.join(names)}", f"--data={data}", "--any-copy", f"--dir={folder}", *more]


def measure(url: str, *arguments: str) -> int:
    """``coevolve eval`` in this process; its exit code."""
    code = app(["eval", url, *arguments], standalone_mode=False)
    return code or 0


def figures(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "eval.json").read_text())
    return found


def lines(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted((folder / "answers").iterdir())
        for line in file.read_text().splitlines(keepends=True)
        if line.endswith("\n")
    ]


@pytest.fixture(scope="module")
def measured(data: Path, suites: Suites, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """All ten, the small ones with the 32 answers that are theirs without being asked for, the others with four."""
    folder = tmp_path_factory.mktemp("out")
    with ScriptedEndpoint(ten.model(suites, KS.__getitem__)) as server:
        assert measure(server.url, *options(data, folder, SMALL, "--quiet")) == 0
        assert measure(server.url, *options(data, folder, LARGE, "--samples=4", "--quiet")) == 0
        assert len(server.asked) == sum(ROWS * (1 + k) for k in KS.values())
        assert not server.twice()
    return Measured(figures(folder)["suites"], folder)


def share(flags: tuple[bool, ...]) -> float:
    return sum(flags) / len(flags)


def drawn(name: str, row: int, response: str) -> str:
    """The letter that stands for a missing one, as docs/grading.md says."""
    digest = hashlib.sha256(f"0\0{name}-{row + 1}\0{response}".encode()).digest()
    return "ABCDEFGHIJ"[int.from_bytes(digest[:8], "big") % 10]


def lucky(name: str, rows: tuple[Row, ...], index: int) -> bool:
    """Whether a response with no letter at all is right by luck in paper-compatible scoring."""
    return rows[index].kind is Kind.CHOICE and drawn(name, index, NOTHING) == rows[index].truth


@pytest.mark.parametrize("name", ten.MAKERS)
def test_strict_scores_are_the_known_ones(name: str, measured: Measured, suites: Suites) -> None:
    found, k, kind = measured.suites[name], KS[name], suites[name][0].kind
    assert (found["n"], found["k"]) == (ROWS, k)
    assert found["greedy"] == pytest.approx(share(STRICT[kind]), abs=1e-15)
    assert found["mean"] == pytest.approx(sum(RIGHT[k]) / (ROWS * k), abs=1e-15)
    assert found["majority"] == pytest.approx(share(MAJORITY), abs=1e-15)


@pytest.mark.parametrize("name", ten.MAKERS)
def test_pass_at_k_is_one_minus_the_chance_to_draw_wrong_answers_alone(name: str, measured: Measured) -> None:
    k = KS[name]
    expected = {
        str(m): sum(1 - comb(k - c, m) / comb(k, m) for c in RIGHT[k]) / ROWS for m in (1, 2, 4, 8, 16, 32) if m <= k
    }
    assert measured.suites[name]["pass_at"] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("name", ten.MAKERS)
def test_paper_compatible_scores_are_the_known_ones(name: str, measured: Measured, suites: Suites) -> None:
    rows, k = suites[name], KS[name]
    greedy = tuple(lucky(name, rows, i) if right is None else right for i, right in enumerate(PAPER[rows[0].kind]))
    unboxed = (k - RIGHT[k][5]) * lucky(name, rows, 5)
    found = measured.suites[name]["paper"]
    assert found["greedy"] == pytest.approx(share(greedy), abs=1e-15)
    assert found["mean"] == pytest.approx((sum(RIGHT[k]) + unboxed) / (ROWS * k), abs=1e-15)
    majority = (*MAJORITY[:5], rows[5].kind is not Kind.CHOICE or lucky(name, rows, 5), MAJORITY[6])
    assert found["majority"] == pytest.approx(share(majority), abs=1e-15)


@pytest.mark.parametrize("name", ten.MAKERS)
def test_counts_are_the_known_ones(name: str, measured: Measured, suites: Suites) -> None:
    k, found = KS[name], measured.suites[name]
    silent = 3 + (suites[name][0].kind is Kind.CHOICE)  # greedy: no box, cut off, nothing; a box that names no option
    assert found["unparsed"] == silent + k - RIGHT[k][5]
    assert (found["answers"], found["cut_off"], found["lost"]) == (ROWS * (1 + k), 1, 0)
    assert found["tokens"] == 7 * found["answers"]


def test_a_killed_evaluation_goes_on_and_no_answered_question_is_asked_again(
    measured: Measured, data: Path, suites: Suites, tmp_path: Path
) -> None:
    names, known = ("amc", "gsm8k"), 100
    answers = ten.model(suites, KS.__getitem__)
    silent = True

    def script(asked: Asked) -> Act:
        return Stalls() if silent and sum(server.answered.values()) >= known else answers(asked)

    with ScriptedEndpoint(script) as server:
        arguments = [server.url, *options(data, tmp_path / "out", names, "--quiet", "--samples=32")]
        with subprocess.Popen([sys.executable, "-m", "coevolve", "eval", *arguments], cwd=tmp_path) as process:
            while not (tmp_path / "out/answers").exists() or len(lines(tmp_path / "out")) < known:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
        assert sum(server.answered.values()) == known
        silent = False
        assert measure(*arguments) == 0
        assert sum(server.answered.values()) == 2 * ROWS * 33
        assert not server.twice()
    assert len(lines(tmp_path / "out")) == 2 * ROWS * 33
    found = figures(tmp_path / "out")
    assert found["complete"]
    untimed = {key: value for key, value in found["suites"]["amc"].items() if key != "wall_s"}
    assert untimed == {key: value for key, value in measured.suites["amc"].items() if key != "wall_s"}


@pytest.fixture
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.001)


@pytest.mark.usefixtures("_short_pauses")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fails(500), "500 Internal Server Error: the scripted fault"),
        (Fails(200, "<html>"), "no JSON"),
        (Fails(200, '{"choices": [{"mess'), "no JSON"),
        (Fails(400, '{"error": "prompt too long"}'), "400 Bad Request: prompt too long"),
        (HangsUp(), "the connection failed"),
    ],
    ids=["500", "garbage", "truncated", "refused", "hung up"],
)
def test_a_row_that_cannot_be_had_is_lost_and_named_and_not_wrong(
    fault: Act, reason: str, data: Path, suites: Suites, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, failing = ten.model(suites, KS.__getitem__), suites["gsm8k"][1].question

    def script(asked: Asked) -> Act:
        return fault if asked.question.startswith(failing) and broken else answers(asked)

    broken = True
    with ScriptedEndpoint(script) as server:
        arguments = [server.url, *options(data, tmp_path, ("gsm8k",), "--samples=0")]
        assert measure(*arguments) == 0
        said = capsys.readouterr().out
        found = figures(tmp_path)["suites"]["gsm8k"]
        assert (found["lost"], found["answers"]) == (1, ROWS)
        assert found["greedy"] == pytest.approx(3 / (ROWS - 1))  # the lost one would have been wrong
        assert "gsm8k-2" in said
        assert reason in said
        broken = False
        assert measure(*arguments) == 0
        assert figures(tmp_path)["suites"]["gsm8k"]["greedy"] == pytest.approx(3 / ROWS)
        assert not server.twice()


class Clock:
    """The time of every client that is made, which stands still until a test moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now, self._loops = 1000.0, []
        made = client_module.Client.__init__

        def make(client: client_module.Client, *arguments: Any, **named: Any) -> None:
            made(client, *arguments, **named)
            monkeypatch.setattr(client._loop, "time", lambda: self._now)
            self._loops.append(client._loop)

        monkeypatch.setattr(client_module.Client, "__init__", make)
        monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.0)

    def forward(self, seconds: float) -> None:
        self._now += seconds
        self._loops[-1].call_soon_threadsafe(lambda: None)  # it looks at the clock


def test_a_server_that_stalls_for_good_ends_the_command_and_the_rest_is_asked_later(
    data: Path, suites: Suites, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, stalls, stalled, clock = ten.model(suites, KS.__getitem__), True, 0, Clock(monkeypatch)

    def script(asked: Asked) -> Act:
        nonlocal stalled
        if not stalls or sum(server.answered.values()) < 3:
            return answers(asked)
        stalled += 1
        if stalled % 3 == 0:  # all that are in flight
            clock.forward(61)
        return Stalls()

    with ScriptedEndpoint(script) as server:
        arguments = [server.url, *options(data, tmp_path, ("gsm8k",), "--samples=0", "--quiet")]
        assert measure(*arguments, "--timeout=60", "--concurrency=3") == 1
        said = capsys.readouterr().err
        assert f"The endpoint {server.url} answered none of 3 questions" in said
        assert "no answer within 60 s" in said
        assert "in gsm8k-" in said
        assert "Traceback" not in said
        assert len(lines(tmp_path)) == 3
        stalls = False
        assert measure(*arguments) == 0
        assert figures(tmp_path)["suites"]["gsm8k"]["greedy"] == pytest.approx(3 / ROWS)
        assert not server.twice()


def test_waiting_in_a_queue_longer_than_the_time_out_costs_no_answer(
    data: Path, suites: Suites, tmp_path: Path
) -> None:
    answers = ten.model(suites, KS.__getitem__)

    def script(asked: Asked) -> Act:
        return replace(act, late_s=0.3) if isinstance(act := answers(asked), Says) else act

    with ScriptedEndpoint(script, seats=Seats(1)) as server:
        arguments = options(data, tmp_path, ("gsm8k",), "--samples=0", "--quiet", "--timeout=1.5")
        assert measure(server.url, *arguments) == 0  # the last of seven waits for more than two seconds
    found = figures(tmp_path)["suites"]["gsm8k"]
    assert (found["lost"], found["greedy"]) == (0, pytest.approx(3 / ROWS))


def test_two_scores_for_one_sample_are_refused_with_the_line_and_the_row(
    data: Path, suites: Suites, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ScriptedEndpoint(ten.model(suites, KS.__getitem__)) as server:
        arguments = [server.url, *options(data, tmp_path, ("gsm8k",), "--samples=0", "--quiet")]
        assert measure(*arguments) == 0
        file = tmp_path / "answers/gsm8k.jsonl"
        first = file.read_text().splitlines()[0]
        with file.open("a") as log:
            log.write(first.replace('"right":true', '"right":false') + "\n")
        assert measure(*arguments) == 1
        said = capsys.readouterr().err
        assert f"two answers to the greedy answer of {json.loads(first)['problem']}" in said
        assert f"{file}, line {ROWS + 1}" in said
        assert len(server.asked) == ROWS


def test_a_wrong_key_is_told_with_the_option_and_no_secret(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], suites: Suites
) -> None:
    monkeypatch.setenv("OWN_KEY", "sk-secret")
    with ScriptedEndpoint(ten.model(suites, KS.__getitem__), key="sk-other") as server:
        arguments = [server.url, *options(data, tmp_path, ("gsm8k",), "--model=scripted", "--api-key-env=OWN_KEY")]
        assert measure(*arguments) == 1
    said = capsys.readouterr()
    assert "401" in said.err
    assert "--api-key-env" in said.err
    written = "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    assert "sk-secret" not in said.err + said.out + written


def test_a_judge_is_reported_apart(data: Path, suites: Suites, tmp_path: Path) -> None:
    def verdict(asked: Asked) -> Act:
        return Says("Verdict: same")  # it accepts everything

    with ScriptedEndpoint(ten.model(suites, KS.__getitem__)) as server, ScriptedEndpoint(verdict) as judge:
        arguments = [server.url, *options(data, tmp_path, ("gsm8k", "supergpqa"), "--samples=0", "--quiet")]
        assert measure(*arguments, f"--judge={judge.url}") == 0
        once = len(judge.asked)
        assert measure(*arguments, f"--judge={judge.url}") == 0
        assert len(judge.asked) == once
        assert len(server.asked) == 2 * ROWS
    found = figures(tmp_path)["suites"]
    assert found["gsm8k"]["greedy"] == pytest.approx(3 / ROWS)
    # Right by the grader are 3 of the 4 answers that could be read; the other one is turned right.
    told = {key: found["gsm8k"]["judge"][key] for key in ("asked", "turned_right", "turned_wrong", "undecided")}
    assert told == {"asked": 4, "turned_right": 1, "turned_wrong": 0, "undecided": 0}
    assert found["gsm8k"]["judge"]["greedy"] == pytest.approx(4 / ROWS)
    assert found["supergpqa"]["judge"] is None
