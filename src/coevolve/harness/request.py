"""From what a user asks for to suites, a target and a folder; then the session and its result."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn, Protocol

from coevolve.config import Config
from coevolve.config.acting import SamplingSection
from coevolve.config.loading import override_layer
from coevolve.endpoint.client import Patience
from coevolve.errors import ConfigError
from coevolve.evaluation.examples import examples_of, held_against
from coevolve.grading.equivalence import open_judge
from coevolve.harness import results
from coevolve.harness.board import Wanted
from coevolve.harness.contamination import Questions, questions_of
from coevolve.harness.endpoint import Asking, EndpointTarget
from coevolve.harness.entries import EVALS, SAMPLED
from coevolve.harness.judge import ModelJudge, judged
from coevolve.harness.local import LocalTarget
from coevolve.harness.own_suites import OWN, own_suites
from coevolve.harness.results import EvalResult
from coevolve.harness.scoring import Marker
from coevolve.harness.session import Identity, Judging, Session, Watcher
from coevolve.harness.target import Target
from coevolve.methods.registry import load_config
from coevolve.runs.answerer import Answerer, Readability, of_target
from coevolve.runs.stopping import StopRequest
from coevolve.store.records import RunRecords
from coevolve.suites import registry
from coevolve.suites.base import subset

SAMPLES = 32  # of the small competitions, as the papers report them
_ENDPOINT = ("http://", "https://")
_FOR_ENDPOINTS = {"sampling.temperature", "sampling.max_tokens", "sampling.solver.top_p"}


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """How an endpoint is asked; nothing here is for models on this machine."""

    model: str | None = None
    key_variable: str | None = None
    plain: bool = False  # the completions API instead of chat
    system: str | None = None
    instruction: str | None = None
    concurrency: int | None = None
    timeout_s: float | None = None

    @property
    def given(self) -> list[str]:
        """The options that were written."""
        named = {
            "--model": self.model,
            "--api-key-env": self.key_variable,
            "--plain": self.plain or None,
            "--system": self.system,
            "--instruction": self.instruction,
            "--concurrency": self.concurrency,
            "--timeout": self.timeout_s,
        }
        return [name for name, value in named.items() if value is not None]


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Another model that judges answers as well."""

    url: str | None = None
    model: str | None = None
    key_variable: str | None = None


@dataclass(frozen=True, slots=True)
class EvalRequest:
    """What a user asks for: the options of ``coevolve eval``, the arguments of ``coevolve.evaluate``."""

    target: str
    suites: Sequence[str]
    samples: int | None = None
    limit: int = 0
    tool: bool = True
    seed: int = 0
    preset: str | None = None
    prompts: str | None = None
    overrides: Sequence[str] = ()
    data: Path | None = None
    any_copy: bool = False
    folder: Path | None = None
    endpoint: EndpointOptions = field(default_factory=EndpointOptions)
    judge: JudgeOptions = field(default_factory=JudgeOptions)


class Audience(Watcher, Protocol):
    """A watcher that is told first what is to come."""

    def start(self, title: str, missing: Mapping[str, int]) -> None:
        """Who is measured and where, and the answers that are still to be asked for by suite."""

    def close(self) -> None:
        """Nothing more comes."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a request.

    Args:
        result: the content of ``eval.json``, with what an earlier request left in the same folder.
        suites: names of those that were asked for this time, in their order.
        folder: where all of it is.
    """

    result: EvalResult
    suites: tuple[str, ...]
    folder: Path


def measure(
    request: EvalRequest,
    audience: Audience,
    *,
    go_on: str = "the same call",
    note: Callable[[str], None] = lambda text: None,
    began: Callable[[], None] = lambda: None,
) -> Measured:
    """Measure a target, or go on with measuring it.

    Args:
        audience: told what happens.
        go_on: what goes on with it after an interruption, for messages.
        note: told what the user should know of a suite before it is asked.
        began: called when there is a folder to go on with.

    Raises:
        CoevolveError: whatever makes it impossible; what was answered is kept.
    """
    answerer = _answerer(request)
    wanted = _wanted(request, answerer)
    target, config = _target(request, answerer, wanted, note)
    folder = request.folder or _folder(request, answerer, target)
    identity = Identity(
        str(answerer.run) if answerer and answerer.run else None, answerer.iteration if answerer else None
    )
    with (
        closing(target),
        StopRequest().active(),
        open_judge(config.grading) as judge,
        Session(folder, target, wanted, Marker(judge), seed=request.seed, identity=identity, go_on=go_on) as session,
    ):
        began()
        with closing(audience), _second_judge(request, folder) as asked:
            audience.start(f"coevolve eval {target.name}   in {folder}\n {_settings(answerer)}", session.missing)
            if isinstance(target, LocalTarget) and any(session.missing.values()):
                target.open()  # whose time is not that of answers
            found = session.run(audience, asked)
        questions = _trained_on(answerer)
        if questions.trained:
            found = session.hold_against(questions)
    return Measured(found, tuple(one.name for one in wanted), folder)


def _trained_on(answerer: Answerer | None) -> Questions:
    """What the run of a target trained on before it; nothing where it is no run."""
    if answerer is None or answerer.run is None:
        return Questions((), ())
    return questions_of(RunRecords.open(answerer.run), answerer.iteration)


def _settings(answerer: Answerer | None) -> str:
    """One line about how answers are made, since much of it was not asked for but follows from a preset or a run."""
    if answerer is None:
        return "an endpoint, with its own prompts"
    config, drawn = answerer.config, answerer.drawn
    tool = "with the tool" if config.has_tool(answerer.agent) else "no tool"
    return (
        f"{answerer.world.contract.name} prompts, {tool} · "
        f"up to {config.sampling.max_tokens:,} tokens · sampled at temperature {drawn.temperature:g} · "
        f"{config.model.dtype} on {config.engine.device} · preset {config.preset}"
    )


def _answerer(request: EvalRequest) -> Answerer | None:
    """Who answers on this machine; None for an endpoint.

    Raises:
        ConfigError: there is no such target, or an option is for another kind of target.
    """
    if request.target.startswith(_ENDPOINT):
        for name, value in (("--preset", request.preset), ("--prompts", request.prompts)):
            if value is not None:
                _refuse(f"{name} is for a model on this machine; an endpoint has its own prompts", name, "leave it out")
        return None
    if request.endpoint.given:
        name = request.endpoint.given[0]
        _refuse(f"{name} is for an endpoint", name, "leave it out, or name a URL: coevolve eval http://HOST:PORT ...")
    return of_target(
        request.target,
        preset=request.preset,
        prompts=request.prompts,
        tool=request.tool,
        overrides=request.overrides,
    )


def _wanted(request: EvalRequest, answerer: Answerer | None) -> list[Wanted]:
    """The suites, with their problems.

    Raises:
        ConfigError: no suite is named, or one twice; there is none of a name; a row cannot be measured.
    """
    specs = list(dict.fromkeys(part.strip() for text in request.suites for part in text.split(",") if part.strip()))
    if not specs:
        _refuse("no suite is named", "--suite", f"--suite FILE or NAME; coevolve eval --list shows the names ({OWN})")
    found: dict[str, Wanted] = {}
    for spec in specs:
        for one in _suites(spec, request, answerer):
            if one.name in found or results.answers_path(Path(), one.name) in {
                results.answers_path(Path(), name) for name in found
            }:
                _refuse(f"two suites are called {one.name}", f"--suite {spec}", "rename one of the files")
            found[one.name] = one
    return list(found.values())


def _suites(spec: str, request: EvalRequest, answerer: Answerer | None) -> list[Wanted]:
    own = own_suites(spec, answerer, samples=request.samples, limit=request.limit)
    if own is not None:
        return own
    source = registry.find(spec, request.data, any_copy=request.any_copy)
    loaded = source.load()
    samples = request.samples if request.samples is not None else SAMPLES if source.name in SAMPLED else 0
    problems = subset(loaded.problems, request.limit)
    one = Wanted(source.name, problems, samples, loaded.digest, loaded.copy, source.licence, notes=loaded.notes)
    return [one]


def _target(
    request: EvalRequest, answerer: Answerer | None, wanted: Sequence[Wanted], note: Callable[[str], None]
) -> tuple[LocalTarget | EndpointTarget, Config]:
    """Who is asked, once it is known to read every question; and how answers are compared."""
    if answerer is None:
        config = load_config("mini", overrides=_checked(request.overrides))
        return _endpoint(request, config.sampling), config
    readability, shown = Readability(answerer), examples_of(answerer.config.world_settings)
    for one in wanted:
        for line in held_against(shown, one.name, one.problems, answerer.config.model.prompts):
            note(line)
        for problem in one.problems:
            readability.require(problem.task, f"{one.copy}, {problem.task.id}")
    return LocalTarget(answerer), answerer.config


def _checked(overrides: Sequence[str]) -> list[str]:
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key not in _FOR_ENDPOINTS and not key.startswith("grading."):
            _refuse(
                f"{key} says nothing to an endpoint",
                f"--set {override}",
                f"keys that do: {', '.join(sorted(_FOR_ENDPOINTS))}, grading.*",
            )
    return list(overrides)


def _endpoint(request: EvalRequest, sampling: SamplingSection) -> EndpointTarget:
    options, usual = request.endpoint, Patience()
    if not request.tool:
        _refuse("an endpoint has no tool of ours", "--no-tool", "leave it out")
    given = override_layer(Config, request.overrides).values
    drawn = sampling.solver
    asking = Asking(
        chat=not options.plain,
        system=options.system or "",
        instruction=options.instruction,
        temperature=sampling.temperature,
        top_p=1.0 if drawn.top_p is None else drawn.top_p,
        max_tokens=sampling.max_tokens if "sampling.max_tokens" in given else None,
    )
    patience = Patience(
        concurrency=options.concurrency or usual.concurrency,
        timeout_s=options.timeout_s or usual.timeout_s,
        retries=usual.retries,
    )
    return EndpointTarget(
        request.target, options.model, asking=asking, patience=patience, key=_key(options.key_variable, "--api-key-env")
    )


@contextmanager
def _second_judge(request: EvalRequest, folder: Path) -> Iterator[Judging | None]:
    options = request.judge
    if options.url is None:
        if options.model is not None or options.key_variable is not None:
            _refuse("there is no judge", "--judge-model", "name its server as well: --judge http://HOST:PORT")
        yield None
        return
    key = _key(options.key_variable, "--judge-key-env")
    memory = folder / "judge.jsonl"
    with closing(ModelJudge(options.url, options.model, memory=memory, patience=Patience(), key=key)) as judge:
        yield partial(judged, judge)


def _key(variable: str | None, option: str) -> str | None:
    """The key in an environment variable.

    Raises:
        ConfigError: it is not set.
    """
    if variable is None:
        return None
    if not os.environ.get(variable):
        _refuse(f"the environment variable {variable} is not set", option, f"export {variable}=...")
    return os.environ[variable]


def _folder(request: EvalRequest, answerer: Answerer | None, target: Target) -> Path:
    """Where results go that nobody named a folder for."""
    tail = "" if request.tool else "-no-tool"
    if answerer is not None and answerer.run is not None:
        return answerer.run / EVALS / f"iteration-{answerer.iteration}{tail}"
    name = answerer.name if answerer is not None else request.endpoint.model or target.name
    return Path(EVALS) / (re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") + tail)


def _refuse(what: str, where: str, fix: str) -> NoReturn:
    raise ConfigError(what, where=where, fix=fix)
