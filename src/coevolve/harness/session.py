"""An evaluation in a folder: every answer is on the disk as soon as it is known, and none is asked for twice."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from coevolve.errors import EngineError, RunError
from coevolve.harness import results, silence
from coevolve.harness.board import Board, Wanted
from coevolve.harness.contamination import Questions, as_json, from_json, overlaps
from coevolve.harness.results import Answer, EvalResult, JudgeResult, Records, SuiteResult, TargetResult
from coevolve.harness.scoring import Marker
from coevolve.harness.target import Place, Reply, Target
from coevolve.store.atomic import writing
from coevolve.store.lock import FolderLock
from coevolve.store.logs import OpenLog
from coevolve.worlds.base import Problem

# What another judge makes of the answers to a suite: problems by id, and all answers that count, as often as called.
Judging = Callable[[Mapping[str, Problem], Callable[[], Iterable[Answer]]], JudgeResult | None]
ATTEMPTS = 3  # at an answer that is lost, in one session
_HOPELESS = 64  # answers that are lost one after the other before the session gives up
_FLUSH_S = 1.0


class Watcher(Protocol):
    """Who shows what happens."""

    def begin(self, suite: str, known: int, missing: int) -> None:
        """A suite is turned to."""

    def step(self, done: int, board: Board) -> None:
        """So many of the missing answers are known."""

    def alarm(self, text: str, samples: Sequence[str]) -> None:
        """Nearly nobody answers."""

    def end(self, suite: str, result: SuiteResult) -> None:
        """Every answer of a suite is known or lost."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What is measured, beside the facts of its target: where its weights come from."""

    run: str | None = None
    iteration: int | None = None


class Session:
    """Asks a target for the answers that a folder lacks. Holds the lock of the folder until it is closed.

    Args:
        folder: made where it is missing.
        target: who answers.
        suites: what is asked, one suite after the other.
        marker: grades the answers.
        seed: of the sampled answers.
        identity: of the target, for the record.
        go_on: the command that goes on with it, for messages.

    Raises:
        RunError: the folder belongs to another process, or holds answers of another target or other problems.
    """

    def __init__(
        self,
        folder: Path,
        target: Target,
        suites: Sequence[Wanted],
        marker: Marker,
        *,
        seed: int = 0,
        identity: Identity | None = None,
        go_on: str = "the same command",
    ) -> None:
        self._folder, self._target, self._suites, self._marker, self._seed = folder, target, suites, marker, seed
        self._go_on = go_on
        with self._writing():
            (folder / "answers").mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(folder, of="this evaluation", go_on=go_on)
        try:
            own = identity or Identity()
            mine = TargetResult(target.name, _as_stored(target.facts), own.run, own.iteration)
            earlier = self._earlier(mine)
            self._result = EvalResult(mine, False, {})
            if earlier:
                self._result = replace(self._result, suites=earlier.suites, contamination=earlier.contamination)
            self._boards = {one.name: self._board(one) for one in suites}
            self._keep({one.name: self._figures(one) for one in suites})
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def missing(self) -> dict[str, int]:
        """How many answers are still to be asked for, by suite."""
        return {name: len(board.missing()) for name, board in self._boards.items()}

    def run(self, watcher: Watcher, judge: Judging | None = None) -> EvalResult:
        """Ask for everything that is missing.

        Args:
            watcher: told what happens.
            judge: asked about the answers to each suite.

        Raises:
            EngineError: answers come that were not asked for, or none comes at all.
            CoevolveError: the target cannot go on; what was answered is kept.
        """
        for wanted in self._suites:
            board = self._boards[wanted.name]
            watcher.begin(wanted.name, board.answered, len(board.missing()))
            try:
                self._ask(wanted, board, watcher)
            except BaseException:
                with suppress(RunError):  # where the disk is full the fault that ended it is still the one to tell
                    self._keep({wanted.name: self._figures(wanted)})
                raise
            found = self._figures(wanted)
            if judge is not None:
                problems = {problem.task.id: problem for problem in wanted.problems}
                found = replace(found, judge=judge(problems, partial(self._counting, board)))
            if found.alarm:
                watcher.alarm(found.alarm, silence.shown(board))
            self._keep({wanted.name: found})
            watcher.end(wanted.name, found)
        return self._result

    def hold_against(self, questions: Questions) -> EvalResult:
        """Add to the record how much of the suites the target trained on: what its run wrote, given here."""
        found = overlaps({one.name: [p.task.question for p in one.problems] for one in self._suites}, questions)
        known = from_json(self._result.contamination)
        self._result = replace(self._result, contamination=as_json({**known, **found}))
        self._keep({})
        return self._result

    def close(self) -> None:
        """Give the folder back."""
        self._lock.release()

    def _ask(self, wanted: Wanted, board: Board, watcher: Watcher) -> None:
        """Until every answer is known, or was lost as often as it is asked for."""
        missing = board.missing()
        done, heard = 0, bool(board.answered)
        with _Log(self._records(wanted), self._writing) as log:
            for _ in range(ATTEMPTS):
                lost: dict[Place, str] = {}
                asked = dict.fromkeys(missing, "no answer came")
                for place, reply in self._answers(wanted, missing, asked):
                    if reply.fault:
                        lost[place] = reply.fault
                        _refuse_hopeless(lost, heard=heard, target=self._target.name)
                        continue
                    heard, done = True, done + 1
                    answer = self._graded(wanted, place, reply)
                    board.take(log.add(answer))
                    if not reply.more:
                        watcher.step(done, board)
                    if done == silence.FIRST and (text := silence.alarm(board)):
                        watcher.alarm(text, silence.shown(board))
                lost |= asked  # what is left in it was not answered at all
                missing = [place for place in missing if place in lost]
                if not missing:
                    return
                if not heard:
                    raise _nobody(lost, self._target.name)
            for place in missing:
                board.take(log.add(_lost(wanted, place, lost[place])))

    def _answers(
        self, wanted: Wanted, missing: Sequence[Place], open_places: dict[Place, str]
    ) -> Iterator[tuple[Place, Reply]]:
        """What the target answers; takes each place out of those that are open.

        Raises:
            EngineError: an answer comes twice, or was not asked for.
        """
        for place, reply in self._target.answer(wanted.problems, missing, self._seed):
            if open_places.pop(place, None) is None:
                known = 0 <= place.problem < len(wanted.problems)
                id = wanted.problems[place.problem].task.id if known else f"problem {place.problem}"
                raise EngineError(
                    f"an answer came that was not asked for, or for the second time: sample {place.sample} of {id}",
                    where=self._target.name,
                    fix="report it; the answers before it are kept",
                )
            yield place, reply

    def _graded(self, wanted: Wanted, place: Place, reply: Reply) -> Answer:
        problem = wanted.problems[place.problem]
        grades = self._marker.grade(problem, reply)
        return Answer(
            problem.task.id,
            place.sample,
            reply.text,
            reply.answer,
            str(reply.stop),
            reply.tokens,
            reply.tool_calls,
            reply.tool_timeouts,
            reply.wall_s,
            right=grades.right,
            read=grades.read,
            paper=grades.paper,
            paper_read=grades.paper_read,
        )

    def _counting(self, board: Board) -> Iterator[Answer]:
        """The answers that count, from the file."""
        return (answer for answer in self._records(board.wanted) if board.place_of(answer) is not None)

    def _figures(self, wanted: Wanted) -> SuiteResult:
        """What is known now. What a judge has said of the very same answers still holds."""
        board, earlier = self._boards[wanted.name], self._result.suites.get(wanted.name)
        found = board.result(self._marker, seed=self._seed, alarm=silence.alarm(board))
        if earlier is None or not (earlier.complete and found.complete and earlier.answers == found.answers):
            return found
        return replace(found, judge=earlier.judge)

    def _board(self, wanted: Wanted) -> Board:
        """What earlier sessions left of a suite.

        Raises:
            RunError: the suite had other problems, or its samples another seed; a line is damaged or stands twice.
        """
        known = self._result.suites.get(wanted.name)
        if known is not None:
            self._require_same(f"the problems of {wanted.name} (digest)", known.digest, wanted.digest)
            if known.k and wanted.samples:
                self._require_same(f"the seed of {wanted.name}", known.seed, self._seed)
        board = Board(wanted)
        board.take_all(self._records(wanted))
        return board

    def _earlier(self, mine: TargetResult) -> EvalResult | None:
        """What is in the folder already.

        Raises:
            RunError: they are of another target, or answers are there and nothing says whose.
        """
        if results.exists(self._folder):
            found = results.read(self._folder)
            for key in sorted({*found.target.facts, *mine.facts}):
                self._require_same(key, found.target.facts.get(key), mine.facts.get(key))
            return found
        if any((self._folder / "answers").iterdir()):
            raise RunError(
                f"there are answers in this folder, but no {results.NAME} that says whose they are",
                where=str(self._folder),
                fix="measure into another folder: --dir DIR",
            )
        return None

    def _require_same(self, what: str, before: object, now: object) -> None:
        if before != now:
            mine = " ".join(shlex.quote(str(self._folder / name)) for name in ("answers", results.NAME))
            raise RunError(
                f"this folder holds answers to something else: {what} was {_short(before)} and is {_short(now)}",
                where=str(self._folder),
                fix=f"measure into another folder: --dir DIR   or, to give them up: rm -r {mine}",
            )

    def _records(self, wanted: Wanted) -> Records:
        return Records(results.answers_path(self._folder, wanted.name))

    def _keep(self, suites: Mapping[str, SuiteResult]) -> None:
        together = {**self._result.suites, **suites}
        complete = all(one.complete for one in together.values())
        self._result = replace(self._result, complete=complete, suites=together)
        with self._writing():
            results.write(self._folder, self._result)

    def _writing(self) -> AbstractContextManager[None]:
        """Failures to write become errors with the way on."""
        return writing(self._folder, fix=f"make room, then: {self._go_on}", elsewhere="choose another: --dir DIR")


class _Log:
    """The answers file while it grows: whole lines, which reach the disk within about a second.

    Args:
        records: the file; what is torn of its last line is cut off.
        writing: turns failures to write into errors.
    """

    def __init__(self, records: Records, writing: Callable[[], AbstractContextManager[None]]) -> None:
        self._writing = writing
        with writing():
            whole = records.whole_bytes
            self._log = OpenLog(records.path, whole, whole)
        self._before = self._flushed = time.monotonic()

    def __enter__(self) -> _Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with self._writing():
                    self._log.flush()
        finally:
            self._log.close()

    def add(self, answer: Answer) -> Answer:
        """Write an answer, with the time since the one before."""
        now = time.monotonic()
        answer = replace(answer, elapsed_s=now - self._before)
        with self._writing():
            self._log.append(results.to_line(answer))
            if now - self._flushed >= _FLUSH_S:
                self._log.flush()
                self._flushed = now
        self._before = now
        return answer


def _lost(wanted: Wanted, place: Place, fault: str) -> Answer:
    return Answer(wanted.problems[place.problem].task.id, place.sample, "", None, "", 0, 0, 0, 0.0, fault=fault)


def _refuse_hopeless(lost: Mapping[Place, str], *, heard: bool, target: str) -> None:
    if not heard and len(lost) >= _HOPELESS:
        raise _nobody(lost, target)


def _nobody(lost: Mapping[Place, str], target: str) -> EngineError:
    return EngineError(
        f"not one of {len(lost)} answers came: {next(iter(lost.values()))}",
        where=target,
        fix="nothing is counted as wrong; see to what is said there, then give the same command again",
    )


def _as_stored(facts: Mapping[str, object]) -> dict[str, Any]:
    """Facts as they come back from a file."""
    stored: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return stored


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
