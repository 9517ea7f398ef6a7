"""``coevolve try``: what a model writes before anything is trained, what does not work, and what would change it."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import typer

from coevolve.commands.markdown import harmless
from coevolve.errors import NothingToLearn
from coevolve.grading.extract import last_boxed
from coevolve.methods.counting import AnswerCounts, TextCounts, numbers_of
from coevolve.methods.obstacles import Obstacle
from coevolve.methods.questions import Written
from coevolve.monitor.progress import duration
from coevolve.runs.trial import Tried, try_model
from coevolve.types import Group, StopReason, Trajectory

T = TypeVar("T")
WIDTH = 78
SHOWN = 3  # texts, answers to own questions, answers to plain ones
_WHY = {
    StopReason.LENGTH: "cut off",
    StopReason.TURNS: "stopped at one tool call too many",
    StopReason.PROTOCOL: "stopped: it wrote tool output itself",
    StopReason.INFRASTRUCTURE: "lost with the sandbox",
}


def run(
    model: str,
    *,
    preset: str | None,
    prompts: str | None,
    overrides: Sequence[str],
    questions: int | None,
    as_json: bool,
) -> None:
    """Try a model and print what came of it.

    Raises:
        CoevolveError: the model cannot be tried.
        Exit: with the code of ``NothingToLearn`` where nothing can be learned.
    """
    tried = try_model(model, preset=preset, prompts=prompts, overrides=overrides, texts=questions)
    if as_json:
        print(json.dumps(content(tried)))
    else:
        keys = [f"model.path={model}"] * (model != "miniature")
        keys += [f"model.prompts={prompts}"] * (prompts is not None)
        again = "".join(f" --set {shlex.quote(key)}" for key in (*keys, *overrides))
        for line in lines(tried, f"coevolve run {tried.config.method} --preset {tried.config.preset}{again}"):
            print(line)
    if not tried.can_learn:
        raise typer.Exit(NothingToLearn.exit_code)


def lines(tried: Tried, command: str) -> Iterator[str]:
    """Everything for a person, at most 80 columns wide but for what the model itself wrote in one word.

    Args:
        tried: the model.
        command: that would run it.
    """
    yield from _heading(tried)
    yield from _texts(tried)
    yield from _answers(tried)
    yield ""
    yield "what was counted"
    for name, part, whole in rates(tried):
        yield _rate_line(name, part, whole)
    for name, value in measures(tried):
        yield f"  {name:<38}{value:>12}"
    yield ""
    yield from _verdict(tried.look.obstacles, command)


def _heading(tried: Tried) -> Iterator[str]:
    setup, config = tried.look.setup, tried.config
    form = "by the model's chat template" if setup.chat else "as plain text"
    prompts = f"prompts {setup.prompts}, {form}" if setup.prompts else f"prompts of the world {config.world}"
    tool = f"tool {'on' if setup.tool else 'off'}"
    yield f"first look at {tried.name}"
    yield f"  preset {config.preset} · {prompts} · {tool}"
    yield (
        f"  questions at temperature {setup.proposer_heat[1]:g}, {setup.question_tokens} tokens at most · "
        f"answers at {setup.solver_heat[1]:g}, {setup.max_tokens}"
    )


def _texts(tried: Tried) -> Iterator[str]:
    written = tried.look.written
    if not written:
        return
    yield ""
    yield "the proposer reads"
    yield from _block(tried.prompt(written[0].trajectory))
    chosen = _varied(written, lambda w: (w.task is not None, w.trajectory.stop))
    yield ""
    yield f"and writes ({len(chosen)} of {len(written)} texts)"
    for n, text in enumerate(chosen, start=1):
        said = "well formed" if text.task else "not well formed"
        yield f"  [{n}] {said} · {_stopped(tried, text.trajectory)} · {_boxed(text.trajectory)}"
        yield from _block(text.asked.opening + text.trajectory.text)


def _answers(tried: Tried) -> Iterator[str]:
    groups = [*tried.look.own, *tried.look.plain]
    if not groups:
        return
    yield ""
    yield "the solver reads"
    yield from _block(tried.prompt(groups[0].trajectories[0]))
    chosen = [*_varied(_one_each(tried.look.own), _kind), *_varied(_one_each(tried.look.plain), _kind)]
    total = sum(len(group.trajectories) for group in groups)
    yield ""
    yield f"and writes ({len(chosen)} of {total} answers)"
    for n, (group, answer) in enumerate(chosen, start=1):
        kind = "its own question" if group in tried.look.own else "a plain question"
        yield from _wrapped(f'  [{n}] {kind}: "{_one_line(group.task.question)}"', "      ")
        yield f"      {_stopped(tried, answer)} · {_boxed(answer)} · {_called(answer)}"
        yield from _block(answer.text)


def _one_each(groups: Sequence[Group]) -> list[tuple[Group, Trajectory]]:
    """An answer to each question: not always the first, so that more kinds are seen."""
    return [(group, group.trajectories[n % len(group.trajectories)]) for n, group in enumerate(groups)]


def _kind(pair: tuple[Group, Trajectory]) -> object:
    answer = pair[1]
    return answer.stop, answer.answer is None, bool(answer.tool_calls)


def _varied(items: Sequence[T], kind: Callable[[T], object]) -> list[T]:
    """A few of the items in their order, of as many kinds as there are."""
    firsts: dict[object, int] = {}
    for n, item in enumerate(items):
        firsts.setdefault(kind(item), n)
    order = [*firsts.values(), *(n for n in range(len(items)) if n not in firsts.values())]
    return [items[n] for n in sorted(order[:SHOWN])]


def _stopped(tried: Tried, text: Trajectory) -> str:
    if text.stop is not StopReason.EOS:
        return f"{_WHY[text.stop]} after {text.sampled} tokens"
    return "ended by its end token" if tried.ended_itself(text.tokens) else "ended at a stop string"


def _boxed(text: Trajectory) -> str:
    box = last_boxed(text.text)
    return f"box: {_one_line(box)}" if box is not None else "no box"


def _called(answer: Trajectory) -> str:
    calls = [call.status for call in answer.tool_calls]
    return f"tool calls: {', '.join(calls)}" if calls else "no tool call"


def _one_line(text: str) -> str:
    return harmless(" ".join(text.split()))


def _block(text: str) -> Iterator[str]:
    """Model text or a prompt, behind a margin."""
    for line in harmless(text).strip("\n").splitlines() or ["(nothing)"]:
        yield from _wrapped(f"    | {line}", "    | ")


def _wrapped(line: str, margin: str) -> Iterator[str]:
    yield from textwrap.wrap(line, WIDTH, subsequent_indent=margin, break_on_hyphens=False) or [margin.rstrip()]


def rates(tried: Tried) -> list[tuple[str, int, int]]:
    """What was counted: (what, how many, of how many)."""
    texts, answers = tried.look.counts.texts, tried.look.counts.answers
    return [*_rates_of_texts(texts), *_rates_of_answers(answers, tool=tried.look.setup.tool)]


def _rates_of_texts(counts: TextCounts) -> list[tuple[str, int, int]]:
    n = counts.texts
    return [
        ("questions: tag", counts.tagged, n),
        ("questions: well formed", counts.well_formed, n),
        ("questions: different", counts.different, counts.well_formed),
        ("questions: own answer in a box", counts.boxed, n),
        ("questions: cut off", counts.cut_off, n),
        ("questions: end token written", counts.end_tokens, n),
    ]


def _rates_of_answers(counts: AnswerCounts, *, tool: bool) -> list[tuple[str, int, int]]:
    m = counts.answers
    of_the_tool = [
        ("answers: program begun", counts.opened, m),
        ("answers: program closed", counts.closed, m),
        ("answers: program run", counts.ran, m),
        ("programs: run without error", counts.calls_ok, counts.calls),
        ("programs: printed nothing", counts.silent, counts.calls),
        ("programs: closed but never run", counts.unrun, counts.calls + counts.unrun),
    ]
    return [
        *(of_the_tool if tool else ()),
        ("answers: box", counts.boxed, m),
        ("answers: can be read", counts.answered, m),
        ("answers: box repeats an error", counts.echoes, counts.boxed),
        ("answers: box repeats the question", counts.unevaluated, counts.boxed),
        ("answers: cut off", counts.cut_off, m),
        ("answers: end token written", counts.end_tokens, m),
    ]


def _rate_line(name: str, part: int, whole: int) -> str:
    share = f"{100 * part / whole:>5.0f} %" if whole else "    - %"
    return f"  {name:<38}{f'{part}/{whole}':>12}{share}"


def measures(tried: Tried) -> list[tuple[str, str]]:
    """Numbers that are no shares."""
    counts = tried.look.counts
    how, seconds = tried.iteration_time
    texts, answers = counts.texts, counts.answers
    agreement = sorted(counts.own) or sorted(counts.plain)
    spread = f"{agreement[0]:.2f} to {agreement[-1]:.2f}" if agreement else "-"
    whose = "own" if counts.own else "plain"
    return [
        ("tokens of a question", f"{texts.tokens / max(texts.texts, 1):.0f}"),
        ("tokens of an answer", f"{answers.tokens / max(answers.answers, 1):.0f}"),
        ("entropy of questions, nats a token", _nats(texts.entropy)),
        ("entropy of answers, nats a token", _nats(answers.entropy)),
        (f"agreement of {counts.votes} votes, {whose} questions", spread),
        ("tokens sampled per second", f"{tried.tokens_per_second:,.0f}"),
        ("tokens that one iteration samples", f"{tried.iteration_tokens:,}"),
        (how, duration(seconds)),
    ]


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _verdict(obstacles: Sequence[Obstacle], command: str) -> Iterator[str]:
    fatal = [obstacle for obstacle in obstacles if obstacle.fatal]
    if fatal:
        yield f"nothing can be learned like this (exit code {NothingToLearn.exit_code})"
    elif obstacles:
        yield "it can learn; what does not work yet, most important first"
    else:
        yield "everything works"
    for n, obstacle in enumerate(obstacles, start=1):
        yield from _wrapped(f"  {n}. {obstacle.text}", "     ")
        yield from _wrapped(f"     try: {obstacle.change}", "          ")
    if not fatal:
        yield f"next: {command}"


def content(tried: Tried) -> dict[str, object]:
    """Everything as JSON, with all texts."""
    counts, config = tried.look.counts, tried.config
    how, seconds = tried.iteration_time
    return {
        "model": tried.name,
        "preset": config.preset,
        "contract": tried.contract,
        "can_learn": tried.can_learn,
        "obstacles": [obstacle.row() for obstacle in tried.look.obstacles],
        "texts": numbers_of(counts.texts),
        "answers": numbers_of(counts.answers),
        "votes": counts.votes,
        "p_hat": {"own": list(counts.own), "plain": list(counts.plain)},
        "tokens_per_second": round(tried.tokens_per_second, 1),
        "iteration": {
            "tokens_sampled": tried.iteration_tokens,
            "seconds": round(seconds, 1),
            "how": how,
        },
        "written": [_written_json(tried, text) for text in tried.look.written],
        "answered": [
            _answer_json(tried, group, answer)
            for group in (*tried.look.own, *tried.look.plain)
            for answer in group.trajectories
        ],
    }


def _written_json(tried: Tried, text: Written) -> dict[str, object]:
    trajectory = text.trajectory
    return {"prompt": tried.prompt(trajectory), "well_formed": text.task is not None} | _json(tried, trajectory)


def _answer_json(tried: Tried, group: Group, answer: Trajectory) -> dict[str, object]:
    calls = [{"code": c.code, "observation": c.observation, "status": c.status} for c in answer.tool_calls]
    asked = {"question": group.task.question, "prompt": tried.prompt(answer), "plain": group in tried.look.plain}
    return asked | _json(tried, answer) | {"answer": answer.answer, "tool_calls": calls}


def _json(tried: Tried, text: Trajectory) -> dict[str, object]:
    return {
        "text": text.text,
        "box": last_boxed(text.text),
        "stop": str(text.stop),
        "end_token": tried.ended_itself(text.tokens),
        "tokens": text.sampled,
    }
