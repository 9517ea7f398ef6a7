"""What ``coevolve eval`` leaves in its folder: ``eval.json`` and a line per answer in ``answers/<suite>.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from coevolve.errors import RunError
from coevolve.store import atomic
from coevolve.store.logs import line_of

SCHEMA = 1
NAME = "eval.json"
CUT_OFF = "length"  # what an answer stopped at whose tokens were used up
GREEDY = -1  # the sample of a greedy answer


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of ``answers/<suite>.jsonl``.

    A place (``problem``, ``sample``) has one line that counts. A line with a ``fault`` may stand before it: nothing was
    answered, and it was asked again. Where every line of a place has a fault the answer is lost: it is no wrong one.
    """

    problem: str  # ``Task.id``, unique within its suite
    sample: int  # 0, 1, ...; of the greedy answer -1
    text: str  # everything that was written, observations of the tool included
    answer: str | None  # as the target itself reads it
    stop: str
    tokens: int
    tool_calls: int
    tool_timeouts: int
    wall_s: float  # of the answer itself, where that is known
    elapsed_s: float = 0.0  # of the session since the line before; all of them together are the time of the suite
    fault: str = ""  # what went wrong where nothing was answered
    right: bool = False  # strict
    read: str | None = None  # what strict scoring took for the answer; None: there was nothing to read
    paper: bool = False  # right in paper-compatible scoring
    paper_read: str | None = None  # what that took for the answer


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of right answers; null where nothing was measured."""

    greedy: float | None = None  # pass@1 of the greedy answers
    mean: float | None = None  # mean@k of the sampled answers
    majority: float | None = None  # maj@k of the sampled answers


@dataclass(frozen=True, slots=True)
class JudgeResult:
    """What another model makes of the answers to a suite, beside the strict figures."""

    name: str  # of the model and its server
    greedy: float | None  # right by the judge, or by the grader where the judge is undecided
    mean: float | None
    asked: int  # answers that it was asked about, right and wrong ones
    turned_right: int  # of these: graded wrong, and right by the judge
    turned_wrong: int  # graded right, and wrong by the judge
    undecided: int  # no verdict, or another one in the other order; the grade stands


@dataclass(frozen=True, slots=True)
class PartResult:
    """The problems of one level or topic, scored strictly."""

    n: int  # problems
    greedy: float | None = None
    mean: float | None = None


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """One suite. Rates are fractions; what was not measured is null.

    A lost answer is left out of every rate. ``se`` and ``ci95`` belong to ``mean``, or to ``greedy`` where nothing was
    sampled; both are over problems.
    """

    n: int  # problems
    k: int  # sampled answers per problem; 0: greedy answers alone
    greedy: float | None  # strict, as all that follows outside ``paper`` and ``judge``
    mean: float | None
    se: float | None  # standard error
    ci95: tuple[float, float] | None  # bootstrap over problems
    majority: float | None
    pass_at: dict[str, float]  # unbiased pass@1, pass@2, pass@4, ... up to k, by that number
    answers: int  # wanted of all problems, lost ones included; the counts that follow are of these
    unparsed: int  # without an answer that could be read, cut off ones included
    cut_off: int  # tokens were used up
    lost: int  # to a failing sandbox or server, again and again
    tool_timeouts: int  # tool calls that took too long
    tokens: int  # sampled by the model
    tool_calls: int
    wall_s: float  # of all sessions on this suite together
    paper: Rates
    digest: str  # of all problems of the source, ``suites.base.content_digest``
    copy: str  # which copy of the source was read
    licence: str
    judge: JudgeResult | None = None  # null without one, and where every answer is a letter
    by_level: dict[str, PartResult] = field(default_factory=dict)
    by_topic: dict[str, PartResult] = field(default_factory=dict)
    seed: int = 0  # of the sampled answers
    complete: bool = True  # every answer that was wanted is known or lost
    notes: tuple[str, ...] = ()  # of the source: a fallback was taken, the digest is another
    faults: tuple[str, ...] = ()  # the first lost answers: which, and why
    alarm: str = ""  # nearly nobody answered, and why that may be

    @property
    def accuracy(self) -> float | None:
        """mean@k where answers were sampled, else that of the greedy ones."""
        return self.greedy if self.mean is None else self.mean


@dataclass(frozen=True, slots=True)
class TargetResult:
    """What was measured."""

    name: str
    facts: dict[str, Any]  # all that decides what it answers
    run: str | None = None  # folder of the run; null for a model or an endpoint
    iteration: int | None = None  # of the run; 0: its base model


@dataclass(frozen=True, slots=True)
class EvalResult:
    """The content of ``eval.json``."""

    target: TargetResult
    complete: bool  # all of its suites are
    suites: dict[str, SuiteResult]  # by name, in the order in which they were asked for
    contamination: dict[str, Any] = field(default_factory=dict)  # of a run, as ``contamination.as_json`` gives it
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Records:
    """The lines of an answers file that are whole."""

    path: Path

    def __iter__(self) -> Iterator[Answer]:
        """The answers, one at a time, in the order of the file.

        Raises:
            RunError: a line is damaged.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as source:
            for number, line in enumerate(source, start=1):
                if line.endswith(b"\n"):  # the last one is torn where a process was killed while it wrote
                    yield _answer(line, f"{self.path}, line {number}")

    @property
    def whole_bytes(self) -> int:
        """Length of the file without a torn last line."""
        if not self.path.exists():
            return 0
        with self.path.open("rb") as source:
            return sum(len(line) for line in source if line.endswith(b"\n"))


def answers_path(folder: Path, suite: str) -> Path:
    """The answers to a suite; ``:`` is ``-`` there, since not every file system has it."""
    return folder / "answers" / f"{suite.replace(':', '-')}.jsonl"


def to_line(answer: Answer) -> bytes:
    """The line of an answer. Half a surrogate pair, which a server may send and no file can hold, becomes ``?``."""
    return line_of({name: _storable(value) for name, value in asdict(answer).items()})


def _storable(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def write(folder: Path, result: EvalResult) -> None:
    """Make this the ``eval.json`` of a folder, in one step.

    Raises:
        OSError: the system refused; the file is as it was.
    """
    atomic.replace_file(folder / NAME, to_json(result).encode())


def to_json(result: EvalResult) -> str:
    """As it is stored and printed."""
    content = asdict(result)
    return json.dumps({"schema": content.pop("schema"), **content}, indent=1, allow_nan=False) + "\n"


def read(folder: Path) -> EvalResult:
    """The ``eval.json`` of a folder.

    Raises:
        RunError: there is none, it is damaged, or another version wrote it.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        fix = f"measure something: coevolve eval MODEL --suite FILE --dir {folder}"
        raise RunError("there is no evaluation in this folder", where=str(folder), fix=fix) from None
    except ValueError as error:
        raise _damaged(path, error) from error
    schema = content.get("schema") if isinstance(content, Mapping) else None
    if isinstance(schema, int) and schema != SCHEMA:
        what = f"the evaluation has schema {schema}; this version of coevolve reads schema {SCHEMA}"
        raise RunError(what, where=str(path), fix="use the version of coevolve that wrote it")
    try:
        return _RESULT.validate_python(content)
    except ValidationError as error:
        raise _damaged(path, _first(error)) from error


def exists(folder: Path) -> bool:
    """Whether an evaluation is in a folder, complete or not."""
    return (folder / NAME).is_file()


def _answer(line: bytes, where: str) -> Answer:
    try:
        return _ANSWER.validate_json(line)
    except ValidationError as error:
        fix = "take the line out of the file; its question is then asked again"
        raise RunError(f"an answer is damaged: {_first(error)}", where=where, fix=fix) from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


def _damaged(path: Path, reason: object) -> RunError:
    fix = f"restore {path.name}, or measure into another folder: --dir DIR"
    return RunError(f"the result of the evaluation is damaged: {reason}", where=str(path), fix=fix)


_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)
_RESULT: TypeAdapter[EvalResult] = TypeAdapter(EvalResult)
