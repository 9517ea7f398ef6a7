"""``coevolve eval`` as a user meets it, with the embedded model, a run and a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted_endpoint import Asked, Says, ScriptedEndpoint

from coevolve.harness import results
from coevolve.harness.results import Records

Cli = Callable[..., Any]
ONE_WORKER = "--set=engine.workers=1"
QUESTIONS = [(f"Let a = {a} * {b}. Find a.", a * b) for a in (7, 12, 43) for b in (3, 25, 80, 91)]


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suites") / "mine.jsonl"
    rows = [{"question": q, "answer": a, "level": 1 + n % 2} for n, (q, a) in enumerate(QUESTIONS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def figures(folder: Path) -> dict[str, Any]:
    """What stands in eval.json, without the clock."""
    content = json.loads((folder / "eval.json").read_text())
    for suite in content["suites"].values():
        del suite["wall_s"]
    return content  # type: ignore[no-any-return]


def texts(folder: Path) -> dict[tuple[str, int], str]:
    """Every answer, of which each may stand there once."""
    found = list(Records(results.answers_path(folder, "mine")))
    assert len({(one.problem, one.sample) for one in found}) == len(found)
    return {(one.problem, one.sample): one.text for one in found}


def test_a_killed_evaluation_goes_on_to_the_same_answers_and_asks_nothing_twice(
    cli: Cli, questions: Path, tmp_path: Path
) -> None:
    command = ("eval", "miniature", "--suite", questions, "--samples", 3, ONE_WORKER, "--json", "--dir")
    whole = cli(*command, tmp_path / "whole")
    assert whole.code == 0, whole.stderr
    assert json.loads(whole.stdout) == json.loads((tmp_path / "whole/eval.json").read_text())
    assert figures(tmp_path / "whole")["suites"]["mine"]["answers"] == 48
    killed = cli(*command, tmp_path / "parts", kill_at={"operation": 35, "half": True})
    assert killed.code == -9
    before = texts(tmp_path / "parts")
    assert 10 < len(before) < 48
    again = cli(*command, tmp_path / "parts")
    assert again.code == 0, again.stderr
    assert texts(tmp_path / "parts") == texts(tmp_path / "whole")
    assert before.items() <= texts(tmp_path / "parts").items()
    assert figures(tmp_path / "parts") == figures(tmp_path / "whole")
    third = cli(*command[:-2], "--dir", tmp_path / "parts")
    assert "48 answers are known already, nothing is asked again" in third.stdout
    assert "mean" in third.stdout
    refused = cli(*command, tmp_path / "parts", "--set", "sampling.temperature=0.5")
    refused.assert_clear("temperature was 1.0 and is 0.5", "--dir")


def test_a_run_has_on_its_own_held_out_problems_the_greedy_accuracy_that_it_measured_itself(
    cli: Cli, finished: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    measured = {row["iteration"]: row["held_out"] for row in rows if row["event"] == "evaluation"}
    for target, iteration in ((f"{finished}", 2), (f"{finished}@0", 0)):
        ended = cli("eval", target, "--suite", "held-out", "--samples", 0, "--json", "--dir", tmp_path / str(iteration))
        assert ended.code == 0, ended.stderr
        content = json.loads(ended.stdout)
        assert (content["target"]["run"], content["target"]["iteration"]) == (str(finished), iteration)
        suite = content["suites"]["held-out"]
        assert suite["greedy"] == pytest.approx(measured[iteration]["greedy"])
        assert list(suite["by_level"]) == ["1", "2"]


def test_an_endpoint_is_asked_as_its_options_say(cli: Cli, questions: Path, tmp_path: Path) -> None:
    known = dict(QUESTIONS[:9])

    def script(asked: Asked) -> Says:
        right = known.get(asked.question.partition("\n")[0], -1)
        return Says(f"I think.\n\\boxed{{{right}}}")

    with ScriptedEndpoint(script, key="secret") as server:
        ended = cli(
            "eval", server.url, "--suite", questions, "--api-key-env", "MY_KEY", "--set", "sampling.temperature=0.25",
            "--samples", 1, cwd=tmp_path, environment={"MY_KEY": "secret"},
        )  # fmt: skip
    assert ended.code == 0, ended.stderr
    assert sorted(asked.body["temperature"] for asked in server.asked) == [0] * 12 + [0.25] * 12
    (folder,) = (tmp_path / "evals").iterdir()
    suite = figures(folder)["suites"]["mine"]
    assert (suite["greedy"], suite["mean"], suite["paper"]["greedy"]) == (0.75, 0.75, 0.75)
    assert "secret" not in (folder / "eval.json").read_text()
    assert "75.0" in ended.stdout


def test_questions_in_other_words_are_refused_with_their_row(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "words.jsonl").write_text(
        '{"question": "Let a = 4 * 8. Find a.", "answer": 32}\n{"question": "How many apples are left?", "answer": 1}\n'
    )
    ended = cli("eval", "miniature", "--suite", "words.jsonl", cwd=tmp_path)
    ended.assert_clear("cannot read the question", "words.jsonl, words-2", "Find b.", code=2)
    assert not (tmp_path / "evals").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), ["no target is named", "coevolve eval RUN --suite FILE"]),
        (("miniature",), ["no suite is named", "--list"]),
        (("miniature", "--suite", "no-such"), ["no suite named"]),
        (("nothing-here", "--suite", "FILE"), ["neither a run nor a model", "http://"]),
        (("miniature", "--suite", "FILE", "--model", "x"), ["--model is for an endpoint"]),
        (("miniature", "--suite", "FILE", "--set", "solver.lr=1"), ["solver.lr does not decide how a model answers"]),
        (("http://127.0.0.1:9", "--suite", "FILE", "--preset", "mini"), ["--preset is for a model on this machine"]),
        (("http://127.0.0.1:9", "--suite", "held-out"), ["no held-out problems of its own"]),
        (("http://127.0.0.1:9", "--suite", "FILE", "--set", "tool.max_turns=2"), ["says nothing to an endpoint"]),
        (("http://127.0.0.1:9", "--suite", "FILE", "--api-key-env", "NO_KEY"), ["NO_KEY is not set"]),
    ],
    ids=lambda case: "-".join(case)[:60].replace("/", ""),
)
def test_what_cannot_be_measured_says_why(
    cli: Cli, questions: Path, arguments: tuple[str, ...], said: list[str]
) -> None:
    named = [str(questions) if part == "FILE" else part for part in arguments]
    cli("eval", *named).assert_clear(*said, code=2)


def test_the_suites_that_have_a_name_are_listed(cli: Cli) -> None:
    text = cli("eval", "--list").stdout
    assert "gsm8k" in text
    assert "1,319" in text
    assert "supergpqa" in [one["name"] for one in json.loads(cli("eval", "--list", "--json").stdout)]
