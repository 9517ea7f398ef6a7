"""inspect_ai with our suites as its tasks, our rollout as its solver and our graders as its scorer.

inspect finds them by the entry point ``inspect_ai``: ``coevolve/suite``, ``coevolve/agent`` and ``coevolve/grader``.
Nothing else of coevolve imports this module. It needs inspect-ai, on which coevolve does not depend.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import anyio.to_thread
from inspect_ai import Epochs, Task, task
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, GenerateConfig, ModelOutput, ModelUsage
from inspect_ai.scorer import Score, Scorer, Target, accuracy, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall

from coevolve.errors import CoevolveError, ConfigError, EngineError
from coevolve.evaluation.scoring import reading
from coevolve.grading.equivalence import Judge
from coevolve.grading.extract import last_boxed
from coevolve.grading.grade import Kind
from coevolve.harness.gathering import Gathering
from coevolve.harness.local import LocalTarget
from coevolve.harness.scoring import Marker
from coevolve.harness.target import Reply
from coevolve.harness.target import Target as Policy
from coevolve.harness.transcript import transcript
from coevolve.runs.answerer import Readability, of_target
from coevolve.suites import registry
from coevolve.suites.base import ORIGIN, Loaded, Source
from coevolve.suites.layouts import LETTERS, shown
from coevolve.types import StopReason
from coevolve.types import Task as TaskOf
from coevolve.worlds.base import Problem

TOGETHER = 512  # samples of a suite that wait for an answer at the same time; --max-samples of inspect sets another
GREEDY = -1
_REPLY = "coevolve:reply"  # key in a sample's store
_STOPS: dict[str, str] = {StopReason.EOS: "stop", StopReason.LENGTH: "max_tokens"}


@task
def suite(
    suite: str,
    model: str,
    samples: int = 0,
    tool: bool = True,
    seed: int = 0,
    preset: str | None = None,
    prompts: str | None = None,
    overrides: str | list[str] = "",
    data: str | None = None,
) -> Task:
    """A suite of ours, answered by our rollout and graded by our graders, as ``coevolve eval`` does it.

    Args:
        suite: a file with questions and answers, the name of a benchmark or of a set (sums, gym:algebra).
        model: a run, RUN@ITERATION, the folder of a model, its hub id, or miniature.
        samples: answers per problem, as epochs of which the mean counts; 0: one greedy answer.
        tool: whether the model may use its tool.
        seed: of the sampled answers.
        preset, prompts: of a model, as of ``coevolve eval``.
        overrides: ``KEY=VALUE``, several with commas between them or as a list.
        data: folder with copies of benchmarks, for machines without a network.
    """
    loaded = _loaded(suite, data)
    opened = _opened(model, tool, preset, prompts, overrides)
    return Task(
        name=_source(suite, data).name.replace(":", "-"),
        dataset=MemoryDataset([_sample(problem) for problem in loaded.problems], name=suite),
        solver=agent(model, not samples, tool, seed, preset, prompts, overrides, answer_line=""),
        scorer=grader(suite, data),
        epochs=Epochs(samples, "mean") if samples else None,
        config=GenerateConfig(max_connections=TOGETHER),
        metadata={
            "model": opened.policy.name,
            "facts": dict(opened.policy.facts),
            "copy": loaded.copy,
            "digest": loaded.digest,
        },
    )


@solver
def agent(
    model: str,
    greedy: bool = True,
    tool: bool = True,
    seed: int = 0,
    preset: str | None = None,
    prompts: str | None = None,
    overrides: str | list[str] = "",
    answer_line: str | bool = "ANSWER:",
) -> Solver:
    """Our rollout: the whole answer of a model, with its tool where it has one. Samples that wait are played together.

    The log shows programs and what they printed as calls of a tool. Options of a choice are put behind the question,
    and the one that is answered is marked, as inspect's own solver does it.

    Args:
        model, tool, seed, preset, prompts, overrides: as of ``suite``.
        greedy: decode at temperature 0; else at the temperature of the run or model, and epochs differ.
        answer_line: begins the last line of the output, which ends with the answer, where there is one: scorers of
            other tasks look for it. Empty or false: the output is what was written.
    """
    opened = _opened(model, tool, preset, prompts, overrides)
    gathering = Gathering(opened.policy, opened.free, seed)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        problem = _asked(state)
        opened.readable.require(problem.task, f"sample {state.sample_id}")
        reply = await gathering.answer(problem, GREEDY if greedy else state.epoch - 1)
        if reply.fault:  # no answer at all, which is not a wrong one: an error of this sample
            fix = "inspect eval-retry LOG asks for what is missing; --retry-on-error=1 tries at once"
            raise EngineError(f"the answer was lost: {reply.fault}", where=f"sample {state.sample_id}", fix=fix)
        answer = await anyio.to_thread.run_sync(_option, reply, problem) if problem.options else reply.answer
        last = f"{answer_line} {answer}" if answer_line and answer is not None else ""
        _show(state, opened.policy.name, reply, last)
        for index in range(len(state.choices)):
            state.choices.mark_choice(index, LETTERS[index] == answer)
        return state

    return solve


@scorer(metrics={"strict": [accuracy(), stderr()], "paper": [accuracy(), stderr()], "unparsed": [mean()]})
def grader(suite: str = "", data: str | None = None, kind: str = Kind.MATH) -> Scorer:
    """Our graders: by our own rules, and as the published numbers of R-Zero and Agent0 were computed.

    Works on the answers of any solver and model; those of ``coevolve/agent`` are read as ``coevolve eval`` reads them.

    Args:
        suite, data: as of ``suite``; for problems with a scorer of their own. Others are graded by the sample alone.
        kind: of samples that do not say it: math, fuzzy or exact; samples with choices are choices.
    """
    own = {problem.task.id: problem for problem in _loaded(suite, data).problems} if suite else {}

    async def score(state: TaskState, target: Target) -> Score:
        problem = own.get(str(state.sample_id)) or _graded(state, target.text, kind)
        return await anyio.to_thread.run_sync(_score, problem, _reply(state))

    return score


class _Opened(NamedTuple):
    policy: Policy
    readable: Readability
    free: threading.Lock  # held while it answers


def _opened(model: str, tool: bool, preset: str | None, prompts: str | None, overrides: str | list[str]) -> _Opened:
    """The model, opened once per process, however many tasks and solvers ask for it."""
    settings = overrides.split(",") if isinstance(overrides, str) and overrides else overrides
    return _open(model, tool, preset, prompts, tuple(settings))


@cache
def _open(model: str, tool: bool, preset: str | None, prompts: str | None, overrides: tuple[str, ...]) -> _Opened:
    with _told():
        answerer = of_target(model, preset=preset, prompts=prompts, tool=tool, overrides=overrides)
        opened = _Opened(LocalTarget(answerer), Readability(answerer), threading.Lock())
    atexit.register(opened.policy.close)
    return opened


@contextmanager
def _told() -> Iterator[None]:
    """inspect shows such an error as a message, any other with a traceback."""
    try:
        yield
    except CoevolveError as error:
        raise PrerequisiteError(str(error)) from error


@cache
def _judge() -> Judge:
    judge = Judge()
    atexit.register(judge.close)
    return judge


@cache
def _marker() -> Marker:
    return Marker(_judge())


def _source(suite: str, data: str | None) -> Source:
    with _told():
        return registry.find(suite, Path(data).expanduser() if data else None)


@cache
def _loaded(suite: str, data: str | None) -> Loaded:
    with _told():
        return _source(suite, data).load()


def _sample(problem: Problem) -> Sample:
    ours = {"kind": str(problem.kind), "options": list(problem.options)}
    shown = {name: text for name, text in (("level", problem.level), ("topic", problem.topic)) if text}
    return Sample(
        id=problem.task.id,
        input=problem.task.question,
        target=problem.truth or "",
        metadata={**shown, "coevolve": ours},
    )


def _asked(state: TaskState) -> Problem:
    """What a sample asks.

    Raises:
        ConfigError: it is no single question.
    """
    if [message.role for message in state.messages] != ["user"]:
        raise ConfigError(
            "our rollout answers one question, and this sample has other messages as well",
            where=f"sample {state.sample_id}",
            fix="put no solver with messages of its own before coevolve/agent",
        )
    options = tuple(choice.value for choice in state.choices)
    task = _task(state, shown(state.user_prompt.text, options))
    return Problem(task, None, _kind(options, Kind.MATH), options)


def _graded(state: TaskState, truth: str, kind: str) -> Problem:
    """A sample as a problem with its true answer."""
    ours = _ours(state)
    options = tuple(choice.value for choice in state.choices) or tuple(ours.get("options", ()))
    return Problem(_task(state, state.input_text), truth, _kind(options, ours.get("kind", kind)), options)


def _ours(state: TaskState) -> dict[str, Any]:
    """What ``coevolve/suite`` wrote into a sample; nothing of other samples."""
    return dict((state.metadata or {}).get("coevolve", {}))


def _task(state: TaskState, question: str) -> TaskOf:
    """Of a suite of ours the very task, on whose id the random numbers of its answers depend."""
    id = str(state.sample_id)
    return TaskOf(id if _ours(state) else f"sample-{id}", (question,), "suite", ORIGIN, measuring_only=True)


def _kind(options: tuple[str, ...], kind: str) -> Kind:
    return Kind.CHOICE if options else Kind(kind)


def _option(reply: Reply, problem: Problem) -> str | None:
    """The letter of the option that is answered; None where no option is."""
    return None if reply.answer is None else reading(reply.answer, problem, judge=_judge())


def _show(state: TaskState, model: str, reply: Reply, last: str) -> None:
    """Write an answer into the state: messages for its viewer, output for scorers, and the reply for ours."""
    parts = transcript(reply.text)
    for number, call in enumerate(parts.calls):
        id = f"{state.uuid}-{number}"
        run = ToolCall(id=id, function="python", arguments={"code": call.code})
        state.messages.append(ChatMessageAssistant(content=call.before, tool_calls=[run], model=model))
        state.messages.append(ChatMessageTool(content=call.observation, tool_call_id=id, function="python"))
    text = f"{parts.last}\n\n{last}" if last else parts.last
    state.output = ModelOutput.from_content(model, text, _STOPS.get(reply.stop, "unknown"))
    state.output.usage = ModelUsage(output_tokens=reply.tokens, total_tokens=reply.tokens)
    state.output.time = reply.wall_s or None
    state.messages.append(state.output.message)
    state.store.set(_REPLY, asdict(reply))


def _reply(state: TaskState) -> Reply:
    """What was answered, by our rollout or by any other model."""
    stored: dict[str, Any] | None = state.store.get(_REPLY)
    if stored is not None:
        return Reply(**stored)
    text, ended = state.output.completion, state.output.stop_reason == "stop"
    return Reply(text, last_boxed(text) if ended else None, StopReason.EOS if ended else state.output.stop_reason)


def _score(problem: Problem, reply: Reply) -> Score:
    """Graded in both ways, which the viewer shows side by side."""
    grades = _marker().grade(problem, reply)
    return Score(
        value={"strict": float(grades.right), "paper": float(grades.paper), "unparsed": float(grades.read is None)},
        answer=grades.read,
        explanation=_why(problem, reply, grades.read),
        metadata={
            "paper_read": grades.paper_read,
            "stop": str(reply.stop),
            "tokens": reply.tokens,
            "tool_calls": reply.tool_calls,
            "tool_timeouts": reply.tool_timeouts,
        },
    )


def _why(problem: Problem, reply: Reply, read: str | None) -> str:
    """Why the strict grade is what it is, in one sentence."""
    if read is None:
        return (
            "no answer could be read" if reply.stop == StopReason.EOS else f"it ended without an answer: {reply.stop}"
        )
    if problem.scorer is not None:
        return "by the scorer of its source"
    if problem.kind is Kind.MATH and problem.truth is not None:
        return _judge().same(read, problem.truth).why
    return f"read as {read}"
