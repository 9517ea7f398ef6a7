"""Measuring any model from a program, as ``coevolve eval`` does."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from coevolve.api.keys import overrides
from coevolve.harness.board import Board
from coevolve.harness.request import EndpointOptions, EvalRequest, measure
from coevolve.harness.results import EvalResult, SuiteResult
from coevolve.monitor.forecast import Stage
from coevolve.monitor.progress import progress_for
from coevolve.system import let_waiting_threads_sleep


def evaluate(
    target: str | os.PathLike[str],
    suite: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    samples: int | None = None,
    limit: int = 0,
    tool: bool = True,
    seed: int = 0,
    preset: str | None = None,
    prompts: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    model: str | None = None,
    api_key_env: str | None = None,
    quiet: bool = False,
    **keys: object,
) -> EvalResult:
    """Measure a model on questions with known answers. What a folder of results has already is not asked again.

    Args:
        target: a run (object, folder, ``FOLDER@ITERATION``), a model folder or hub id, ``miniature``, or the address of
            an OpenAI-compatible server.
        suite: files of one's own, or names; ``coevolve eval --list`` prints these.
        samples: answers per problem at the sampling temperature, beside the greedy one; None: 32 for the small
            competitions, 0 for others.
        limit: problems of a suite at most, always the same ones; 0: all.
        tool: False takes the Python tool away.
        seed: of the sampled answers.
        preset, prompts: of a model that is no run.
        folder: of the results; None: ``RUN/evals/NAME`` or ``evals/NAME``.
        model, api_key_env: of a server: which of its models, and the environment variable with the key.
        quiet: show nothing.
        keys: of the configuration, such as ``**{"sampling.temperature": 0.6}``.

    Returns:
        ``.suites[name].accuracy``, ``.ci95``, ``.greedy``, ``.mean``, ...; rates are from 0 to 1.

    Raises:
        CoevolveError: there is no such target or suite, or the target cannot go on; what was answered is kept.
    """
    let_waiting_threads_sleep()
    named = [suite] if isinstance(suite, str | os.PathLike) else suite
    request = EvalRequest(
        os.fspath(target),
        [os.fspath(one) for one in named],
        samples=samples,
        limit=limit,
        tool=tool,
        seed=seed,
        preset=preset,
        prompts=prompts,
        overrides=overrides(keys, "coevolve.evaluate(...)"),
        folder=Path(folder) if folder is not None else None,
        endpoint=EndpointOptions(model, api_key_env),
    )
    return measure(request, _Lines(quiet=quiet)).result


class _Lines:
    """Implements ``coevolve.harness.request.Audience``: a suite is a phase."""

    def __init__(self, *, quiet: bool) -> None:
        self._progress = progress_for(Console(), quiet=quiet)
        self._stages: dict[str, Stage] = {}

    def start(self, title: str, missing: Mapping[str, int]) -> None:
        self._stages = {
            name: Stage(-1, name, max(count, 1), name, share=float(count), unit="answer")
            for name, count in missing.items()
        }
        self._progress.start(title, list(self._stages.values()))

    def begin(self, suite: str, known: int, missing: int) -> None:
        self._progress.phase(self._stages[suite])

    def step(self, done: int, board: Board) -> None:
        self._progress.step(done, {})

    def alarm(self, text: str, samples: Sequence[str]) -> None:
        self._progress.note(f"ALARM: {text}")

    def end(self, suite: str, result: SuiteResult) -> None:
        rate = "no answer" if result.accuracy is None else f"{100 * result.accuracy:.1f} % right"
        self._progress.end_phase(f"{rate} of {result.answers:,} answers")

    def close(self) -> None:
        self._progress.close()
