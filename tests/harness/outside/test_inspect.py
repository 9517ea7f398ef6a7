"""Our solver, scorer and suites within inspect, over a model that answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coevolve.errors import EngineError
from coevolve.harness.target import Place, Reply
from coevolve.types import StopReason
from coevolve.worlds.base import Problem

pytestmark = pytest.mark.evals
Says = Callable[[Problem, Place], Reply]
TOOL = "a:\n```python\nprint(43*80)\n```\n```output\n3440\n```\n"


class Scripted:
    """Implements ``coevolve.harness.target.Target``."""

    name = "scripted"
    facts: Mapping[str, object] = {"model": "none"}

    def __init__(self, says: Says) -> None:
        self._says = says
        self.batches: list[list[tuple[str, Place]]] = []
        self._alone = threading.Lock()

    def answer(self, problems: Sequence[Problem], places: Sequence[Place], seed: int) -> Iterator[tuple[Place, Reply]]:
        assert self._alone.acquire(blocking=False), "two batches at the same time"
        self.batches.append([(problems[place.problem].task.question, place) for place in places])
        with ExitStack() as stack:
            stack.callback(self._alone.release)
            for place in reversed(places):
                yield place, self._says(problems[place.problem], place)

    def close(self) -> None: ...


def boxed(answer: str, before: str = "") -> Reply:
    return Reply(f"{before}\\boxed{{{answer}}}", answer, StopReason.EOS, tokens=7, tool_calls=before.count("```output"))


Played = Callable[..., tuple[Any, Scripted]]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Played:
    """``played(says, task, **eval)``: the log of a task, read back from its file, and the model that was asked."""
    import inspect_ai
    from inspect_ai.log import read_eval_log

    from coevolve.harness import inspect_tasks

    def play(says: Says, task: Callable[[], Any], **how: Any) -> tuple[Any, Scripted]:
        model = Scripted(says)
        opened = inspect_tasks._Opened(model, SimpleNamespace(require=lambda *_: None), threading.Lock())
        monkeypatch.setattr(inspect_tasks, "_opened", lambda *_: opened)
        (log,) = inspect_ai.eval(task(), log_dir=str(tmp_path / "logs"), display="none", **how)
        return read_eval_log(log.location), model

    return play


def values(log: Any) -> dict[str, dict[str, float]]:
    return {
        score.name.rpartition("/")[2]: {name: m.value for name, m in score.metrics.items()}
        for score in log.results.scores
    }


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "questions.jsonl"
    rows = [
        {"id": f"q{i}", "question": f"What is {i} + {i}?", "answer": str(2 * i), "level": str(i % 2)} for i in range(12)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_a_suite_is_played_in_one_batch_and_graded_in_both_ways(played: Played, questions: Path) -> None:
    from coevolve.harness import inspect_tasks

    def says(problem: Problem, place: Place) -> Reply:
        number = int(problem.task.question.split()[2])
        if number < 3:  # read by our rules alone: the last box is right, the first is not
            return Reply(f"\\boxed{{no}}\n\\boxed{{{2 * number}}}", str(2 * number), StopReason.EOS)
        return boxed(str(2 * number)) if number < 8 else Reply("never ends", None, StopReason.LENGTH)

    log, model = played(says, lambda: inspect_tasks.suite(str(questions), "any"))
    assert log.status == "success"
    assert [len(batch) for batch in model.batches] == [12]
    assert {place for _, place in model.batches[0]} == {Place(i, -1) for i in range(12)}
    assert values(log)["strict"]["accuracy"] == 8 / 12
    assert values(log)["paper"]["accuracy"] == 5 / 12
    assert values(log)["unparsed"]["mean"] == 4 / 12


def test_epochs_are_samples_and_their_mean_counts(played: Played, questions: Path) -> None:
    from coevolve.harness import inspect_tasks

    def says(problem: Problem, place: Place) -> Reply:
        number = int(problem.task.question.split()[2])
        return boxed(str(2 * number) if place.sample < number % 4 else "no")

    log, model = played(says, lambda: inspect_tasks.suite(str(questions), "any", samples=4))
    asked = [place for batch in model.batches for _, place in batch]
    assert sorted(asked) == [Place(i, k) for i in range(12) for k in range(4)]
    assert values(log)["strict"]["accuracy"] == sum(i % 4 / 4 for i in range(12)) / 12


def test_the_log_shows_programs_as_calls_of_a_tool(played: Played, questions: Path) -> None:
    from coevolve.harness import inspect_tasks

    log, _ = played(lambda *_: boxed("2", TOOL), lambda: inspect_tasks.suite(str(questions), "any"), limit=1)
    user, before, tool, last = log.samples[0].messages
    assert user.content == "What is 0 + 0?"
    assert before.content == "a:\n"
    assert before.tool_calls[0].arguments == {"code": "print(43*80)"}
    assert tool.content == "3440"
    assert tool.tool_call_id == before.tool_calls[0].id
    assert last.content == "\\boxed{2}"
    assert log.samples[0].output.usage.output_tokens == 7


def test_a_lost_answer_is_an_error_of_its_sample_and_no_wrong_answer(played: Played, questions: Path) -> None:
    from coevolve.harness import inspect_tasks

    def says(problem: Problem, place: Place) -> Reply:
        lost = place.problem == 3
        return Reply("", None, StopReason.INFRASTRUCTURE, fault="the sandbox was lost") if lost else boxed("no")

    log, _ = played(says, lambda: inspect_tasks.suite(str(questions), "any"), fail_on_error=False)
    errors = [sample for sample in log.samples if sample.error]
    assert [sample.id for sample in errors] == ["questions-q3"]
    assert "the sandbox was lost" in errors[0].error.message
    assert not errors[0].scores


def test_a_model_that_fails_fails_all_that_wait_for_it(played: Played, questions: Path) -> None:
    from coevolve.harness import inspect_tasks

    def says(problem: Problem, place: Place) -> Reply:
        raise EngineError("no memory left", fix="fewer rows")

    log, _ = played(says, lambda: inspect_tasks.suite(str(questions), "any"), fail_on_error=False)
    assert len(log.samples) == 12
    for sample in log.samples:
        assert "no memory left" in sample.error.message


def test_tasks_of_inspect_evals_take_our_solver_and_score_it_themselves(played: Played) -> None:
    """Their rows are on the hub; here are rows of the same form."""
    from inspect_ai import Task
    from inspect_ai.dataset import MemoryDataset
    from inspect_ai.scorer import match
    from inspect_evals.gsm8k.gsm8k import record_to_sample
    from inspect_evals.utils.aime_common import aime_scorer

    from coevolve.harness import inspect_tasks

    rows = [
        {"question": f"Tom has {i} pens and buys 1,200. How many?", "answer": f"{i}+1200.\n#### {i + 1200:,}"}
        for i in range(4)
    ]

    def says(problem: Problem, place: Place) -> Reply:
        number = int(problem.task.question.split()[2])
        return boxed(str(number + 1200) if number else "no", TOOL)

    def task() -> Task:
        data = MemoryDataset([record_to_sample(row) for row in rows])
        scorers = [match(numeric=True), aime_scorer(), inspect_tasks.grader()]
        return Task(dataset=data, solver=inspect_tasks.agent("any"), scorer=scorers)

    log, model = played(says, task)
    for name in ("match", "aime_scorer", "strict"):
        assert values(log)[name]["accuracy"] == 3 / 4
    assert "\\boxed{1201}\n\nANSWER: 1201" in [sample.output.completion for sample in log.samples]
    assert len({place for batch in model.batches for _, place in batch}) == 4


def test_the_option_that_is_answered_is_marked(played: Played) -> None:
    from inspect_ai import Task
    from inspect_ai.dataset import MemoryDataset
    from inspect_ai.scorer import choice
    from inspect_evals.mmlu_pro.mmlu_pro import record_to_sample

    from coevolve.harness import inspect_tasks

    row = {
        "question_id": 1,
        "question": "Which is a prime?",
        "options": ["4", "6", "7", "8"],
        "answer": "C",
        "answer_index": 2,
        "category": "math",
        "cot_content": "",
        "src": "own",
    }
    rows = [row | {"question_id": number} for number in range(4)]
    answers = dict(zip(range(4), ("C", "7", "(B)", "none"), strict=True))

    def task() -> Task:
        data = MemoryDataset([record_to_sample(row) for row in rows])
        for number, sample in enumerate(data):
            sample.id = number
        return Task(dataset=data, solver=inspect_tasks.agent("any"), scorer=[choice(), inspect_tasks.grader()])

    log, model = played(lambda problem, _: boxed(answers[int(problem.task.id.rpartition("-")[2])]), task)
    assert "(C): 7" in model.batches[0][0][0]
    for name in ("choice", "strict"):
        assert values(log)[name]["accuracy"] == 2 / 4
    assert values(log)["unparsed"]["mean"] == 1 / 4


def test_the_line_with_the_answer_is_as_a_scorer_wants_it(played: Played) -> None:
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_evals.bbeh.bbeh import bbeh_scorer

    from coevolve.harness import inspect_tasks

    def task(line: str | bool) -> Task:
        data = [Sample(id=i, input="?", target=right, metadata={"task": "x"}) for i, right in enumerate(("yes", "no"))]
        return Task(dataset=data, solver=inspect_tasks.agent("any", answer_line=line), scorer=bbeh_scorer())

    for line, right in (("The answer is", 1 / 2), ("ANSWER:", 0), (False, 1 / 2)):
        log, _ = played(lambda *_: boxed("yes", "So \n"), partial(task, line))
        assert values(log)["bbeh_scorer"]["accuracy"] == right


def test_a_sample_with_other_messages_is_refused(played: Played, questions: Path) -> None:
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.solver import system_message

    from coevolve.harness import inspect_tasks

    log, _ = played(
        lambda *_: boxed("1"),
        lambda: Task(dataset=[Sample(input="1?")], solver=[system_message("Be brief."), inspect_tasks.agent("any")]),
    )
    assert log.status == "error"
    assert "put no solver with messages" in log.error.message


def test_our_grader_scores_any_model(played: Played, questions: Path) -> None:
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput
    from inspect_ai.solver import solver

    from coevolve.harness import inspect_tasks

    @solver
    def writing() -> Any:
        async def solve(state: Any, generate: Any) -> Any:
            cut_off = state.sample_id == 3
            state.output = ModelOutput.from_content("x", "\\boxed{\\frac{1}{2}}", "max_tokens" if cut_off else "stop")
            return state

        return solve

    data = [Sample(input="?", target=target) for target in ("0.5", "1/3", "1/2")]
    log, _ = played(lambda *_: boxed(""), lambda: Task(dataset=data, solver=writing(), scorer=inspect_tasks.grader()))
    assert [sample.scores["grader"].value["strict"] for sample in log.samples] == [1, 0, 0]
    assert values(log)["unparsed"]["mean"] == 1 / 3
