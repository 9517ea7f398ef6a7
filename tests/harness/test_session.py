"""An evaluation in a folder: nothing is asked twice, nothing is counted twice, and other facts are refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from coevolve.errors import EngineError, RunError
from coevolve.grading.equivalence import OWN_RULES
from coevolve.harness import results, session
from coevolve.harness.board import Board, Wanted
from coevolve.harness.contamination import Questions, from_json
from coevolve.harness.results import Answer, EvalResult, JudgeResult, SuiteResult
from coevolve.harness.scoring import Marker
from coevolve.harness.session import Identity, Session
from coevolve.harness.target import Place, Reply
from coevolve.suites.base import content_digest, task_of
from coevolve.worlds.base import Problem

PROBLEMS = tuple(Problem(task_of("mine", str(n), f"How much is {n} + {n}?"), str(2 * n)) for n in range(10))


def wanted(samples: int = 4, problems: tuple[Problem, ...] = PROBLEMS, name: str = "mine") -> Wanted:
    return Wanted(name, problems, samples, content_digest(PROBLEMS), "mine.jsonl", "none")


def is_right(place: Place) -> bool:
    """Of 10 problems: the greedy answers to 5, and 0 to 4 of 4 sampled ones."""
    return place.problem % 2 == 0 if place.greedy else place.sample < place.problem % 5


@dataclass
class Scripted:
    """Answers as a test says; counts what it is asked."""

    says: Callable[[Place, int], Reply] = lambda place, tries: right_or_wrong(place)
    facts: Mapping[str, object] = field(default_factory=lambda: {"weights": "abc"})
    stop_after: int | None = None
    name: str = "scripted"
    asked: Counter[Place] = field(default_factory=Counter)
    seeds: set[int] = field(default_factory=set)

    def answer(self, problems: Sequence[Problem], places: Sequence[Place], seed: int) -> Iterator[tuple[Place, Reply]]:
        self.seeds.add(seed)
        for place in reversed(places):
            if self.stop_after is not None and self.asked.total() >= self.stop_after:
                raise KeyboardInterrupt
            self.asked[place] += 1
            yield place, self.says(place, self.asked[place])

    def close(self) -> None: ...


def right_or_wrong(place: Place) -> Reply:
    answer = str(2 * place.problem if is_right(place) else -1)
    return Reply(f"\\boxed{{{answer}}}", answer, "eos", tokens=3, tool_calls=1)


@dataclass
class Watching:
    """Remembers what it is told."""

    alarms: list[tuple[str, Sequence[str]]] = field(default_factory=list)
    known: list[int] = field(default_factory=list)

    def begin(self, suite: str, known: int, missing: int) -> None:
        self.known.append(known)

    def step(self, done: int, board: Board) -> None: ...

    def alarm(self, text: str, samples: Sequence[str]) -> None:
        self.alarms.append((text, samples))

    def end(self, suite: str, result: SuiteResult) -> None: ...


def measure(
    folder: Path,
    target: Scripted,
    *suites: Wanted,
    seed: int = 0,
    watching: Watching | None = None,
    judge: object = None,
) -> EvalResult:
    with Session(folder, target, suites or (wanted(),), Marker(OWN_RULES), seed=seed, identity=Identity("r", 2)) as own:
        return own.run(watching or Watching(), judge)  # type: ignore[arg-type]


def without_time(result: EvalResult) -> EvalResult:
    return replace(result, suites={name: replace(one, wall_s=0.0) for name, one in result.suites.items()})


def lines_of(folder: Path) -> list[bytes]:
    return results.answers_path(folder, "mine").read_bytes().splitlines(keepends=True)


def test_the_score_is_the_known_one(tmp_path: Path) -> None:
    target = Scripted()
    found = measure(tmp_path, target, seed=7)
    suite = found.suites["mine"]
    assert (suite.greedy, suite.mean) == (0.5, 0.5)  # (0 + 1/4 + 1/2 + 3/4 + 1) * 2 / 10
    assert suite.pass_at == {"1": 0.5, "2": pytest.approx(2 * (0 + 1 / 2 + 5 / 6 + 1 + 1) / 10), "4": 0.8}
    assert suite.majority == 0.4  # of two right and two wrong ones the first by key wins: -1
    assert suite.se == pytest.approx((5 / 4 / 9 / 10) ** 0.5)
    assert (suite.answers, suite.unparsed, suite.lost, suite.tokens, suite.tool_calls) == (50, 0, 0, 150, 50)
    assert (found.complete, found.target.run, found.target.iteration, suite.seed) == (True, "r", 2, 7)
    assert target.seeds == {7}
    assert results.read(tmp_path) == found
    assert suite.wall_s > 0


@pytest.mark.parametrize("kept", [1, 9, 10, 11, 37, 50])
def test_an_interrupted_evaluation_goes_on_without_asking_twice(tmp_path: Path, kept: int) -> None:
    whole = measure(tmp_path / "whole", Scripted())
    first = Scripted(stop_after=kept)
    if kept < 50:
        with pytest.raises(KeyboardInterrupt):
            measure(tmp_path / "parts", first)
        assert not results.read(tmp_path / "parts").complete
    else:
        measure(tmp_path / "parts", first)
    second, watching = Scripted(), Watching()
    found = measure(tmp_path / "parts", second, watching=watching)
    assert watching.known == [kept]
    assert set((first.asked + second.asked).values()) == {1}
    assert without_time(found) == without_time(whole)


def test_a_torn_last_line_is_asked_again_and_nothing_else(tmp_path: Path) -> None:
    whole = measure(tmp_path, Scripted())
    lines = lines_of(tmp_path)
    results.answers_path(tmp_path, "mine").write_bytes(b"".join(lines[:-1]) + lines[-1][:-5])
    second = Scripted()
    assert without_time(measure(tmp_path, second)) == without_time(whole)
    assert second.asked.total() == 1
    assert lines_of(tmp_path)[:-1] == lines[:-1]


def test_more_samples_problems_and_suites_only_add(tmp_path: Path) -> None:
    small = measure(tmp_path, Scripted(), wanted(2, PROBLEMS[:5]))
    assert (small.suites["mine"].n, small.suites["mine"].k) == (5, 2)
    more = Scripted()
    found = measure(tmp_path, more, wanted())
    assert more.asked.total() == 50 - 15
    assert without_time(found) == without_time(measure(tmp_path / "whole", Scripted()))
    both = measure(tmp_path, Scripted(), wanted(0, name="other"))
    assert list(both.suites) == ["mine", "other"]
    assert both.suites["mine"] == found.suites["mine"]


def test_fewer_samples_count_fewer_answers_and_keep_all(tmp_path: Path) -> None:
    measure(tmp_path, Scripted())
    target = Scripted()
    found = measure(tmp_path, target, wanted(0, PROBLEMS[:4])).suites["mine"]
    assert (found.answers, found.mean, found.greedy, target.asked.total()) == (4, None, 0.5, 0)
    assert len(lines_of(tmp_path)) == 50


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"facts": {"weights": "other"}}, 'weights was "abc" and is "other"'),
        ({"facts": {"weights": "abc", "temperature": 0.5}}, "temperature was null and is 0.5"),
    ],
)
def test_another_target_is_refused(tmp_path: Path, change: Mapping[str, Mapping[str, object]], said: str) -> None:
    measure(tmp_path, Scripted())
    before = lines_of(tmp_path)
    with pytest.raises(RunError, match="--dir") as refusal:
        measure(tmp_path, Scripted(**change))
    assert said in str(refusal.value)
    assert lines_of(tmp_path) == before


def test_other_problems_and_another_seed_are_refused(tmp_path: Path) -> None:
    measure(tmp_path, Scripted())
    with pytest.raises(RunError, match="problems of mine"):
        measure(tmp_path, Scripted(), replace(wanted(), digest="0" * 64))
    with pytest.raises(RunError, match="the seed of mine was 0 and is 1"):
        measure(tmp_path, Scripted(), seed=1)
    measure(tmp_path, Scripted(), wanted(0), seed=1)  # greedy answers have no seed


def test_answers_of_which_nobody_says_whose_they_are_are_refused(tmp_path: Path) -> None:
    measure(tmp_path, Scripted())
    (tmp_path / "eval.json").unlink()
    with pytest.raises(RunError, match=r"no eval\.json"):
        measure(tmp_path, Scripted())


def test_two_sessions_cannot_share_a_folder(tmp_path: Path) -> None:
    with (
        Session(tmp_path, Scripted(), (wanted(),), Marker(OWN_RULES)),
        pytest.raises(RunError, match=r"writing to this evaluation(.|\n)*the same command"),
    ):
        measure(tmp_path, Scripted())
    measure(tmp_path, Scripted())


def test_two_answers_to_one_question_are_named(tmp_path: Path) -> None:
    measure(tmp_path, Scripted())
    path = results.answers_path(tmp_path, "mine")
    path.write_bytes(b"".join([*lines_of(tmp_path), lines_of(tmp_path)[0]]))
    with pytest.raises(RunError, match=r"two answers to sample 3 of mine-9\n.*mine\.jsonl, line 51"):
        measure(tmp_path, Scripted())


def test_a_target_that_answers_twice_is_named_and_what_came_before_is_kept(tmp_path: Path) -> None:
    class Twice(Scripted):
        def answer(self, *asked: object) -> Iterator[tuple[Place, Reply]]:
            for _ in range(2):
                yield Place(0, -1), right_or_wrong(Place(0, -1))

    with pytest.raises(EngineError, match=r"second time: sample -1 of mine-0\n.*scripted"):
        measure(tmp_path, Twice())
    assert len(lines_of(tmp_path)) == 1


def test_lost_answers_are_asked_again_and_then_left_out_of_every_rate(tmp_path: Path) -> None:
    always, once = Place(0, -1), Place(1, 0)

    def says(place: Place, tries: int) -> Reply:
        lost = place == always or (place == once and tries == 1)
        return Reply("", None, "", fault="the server stalled") if lost else right_or_wrong(place)

    target = Scripted(says)
    found = measure(tmp_path, target)
    suite = found.suites["mine"]
    assert (target.asked[always], target.asked[once], target.asked.total()) == (session.ATTEMPTS, 2, 50 + 3)
    assert (suite.lost, suite.greedy, suite.mean) == (1, pytest.approx(4 / 9), 0.5)
    assert found.complete
    lost = [one for one in map(json.loads, lines_of(tmp_path)) if one["fault"]]
    assert [(one["problem"], one["sample"], one["fault"]) for one in lost] == [("mine-0", -1, "the server stalled")]
    healed = Scripted()
    again = measure(tmp_path, healed).suites["mine"]
    assert (again.lost, again.greedy, healed.asked.total()) == (0, 0.5, 1)
    assert again.answers == 50


def test_answers_that_never_come_are_lost(tmp_path: Path) -> None:
    class Silent(Scripted):
        def answer(self, *asked: object) -> Iterator[tuple[Place, Reply]]:
            places: Sequence[Place] = asked[1]  # type: ignore[assignment]
            yield from ((place, right_or_wrong(place)) for place in places if place != Place(3, 1))

    assert measure(tmp_path, Silent()).suites["mine"].lost == 1


def test_a_target_of_which_every_answer_is_lost_ends_with_an_error_and_counts_nothing(tmp_path: Path) -> None:
    target = Scripted(lambda place, tries: Reply("", None, "", fault="garbage came"))
    with pytest.raises(EngineError, match="not one of 50 answers came: garbage came"):
        measure(tmp_path, target)
    assert target.asked.total() == 50
    assert lines_of(tmp_path) == []
    assert results.read(tmp_path).suites["mine"].greedy is None


def test_the_alarm_comes_early_and_shows_three_answers(tmp_path: Path) -> None:
    watching = Watching()
    found = measure(tmp_path, Scripted(lambda place, tries: Reply("Seven.", None, "eos")), watching=watching)
    assert len(watching.alarms) == 2  # after the first answers, and at the end
    text, samples = watching.alarms[0]
    assert text.startswith("32 of 32 answers cannot be read: they end without \\boxed{}")
    assert len(samples) == 3
    assert samples[0] == "mine-9, sample 3 (stopped: eos)\nSeven."
    assert found.complete
    assert found.suites["mine"].alarm.startswith("50 of 50 answers cannot be read")
    assert (found.suites["mine"].unparsed, found.suites["mine"].greedy) == (50, 0.0)


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (Reply("so much to say", None, "length"), "before there is a box"),
        (Reply("\\boxed{7}\nUser: and", None, "length"), "go on behind it"),
        (Reply("\\boxed{", None, "eos"), "stays open, is empty"),
    ],
)
def test_the_alarm_says_what_is_likely(tmp_path: Path, reply: Reply, cause: str) -> None:
    assert cause in measure(tmp_path, Scripted(lambda place, tries: reply)).suites["mine"].alarm


def test_no_alarm_where_some_answer(tmp_path: Path) -> None:
    says = Scripted(lambda place, tries: right_or_wrong(place) if place.problem < 2 else Reply("?", None, "eos"))
    watching = Watching()
    assert measure(tmp_path, says, watching=watching).suites["mine"].alarm == ""


def test_a_second_judge_is_asked_about_what_counts_and_its_word_stays(tmp_path: Path) -> None:
    said = JudgeResult("judge", 0.75, None, asked=4, turned_right=1, turned_wrong=0, undecided=0)

    def judge(problems: Mapping[str, Problem], answers: Callable[[], Iterator[Answer]]) -> JudgeResult:
        assert list(problems) == [problem.task.id for problem in PROBLEMS[:4]]
        assert len(list(answers())) == len(list(answers())) == 4
        return said

    measure(tmp_path, Scripted())
    assert measure(tmp_path, Scripted(), wanted(0, PROBLEMS[:4]), judge=judge).suites["mine"].judge == said
    assert measure(tmp_path, Scripted(), wanted(0, PROBLEMS[:4])).suites["mine"].judge == said
    assert measure(tmp_path, Scripted(), wanted(1, PROBLEMS[:4])).suites["mine"].judge is None


def test_what_a_run_trained_on_is_held_against_the_suites_and_stays_in_the_record(tmp_path: Path) -> None:
    questions = Questions((PROBLEMS[3].task.question, "What is 7 times 6?"), ())
    with Session(tmp_path, Scripted(), (wanted(0),), Marker(OWN_RULES)) as own:
        own.run(Watching())
        found = own.hold_against(questions)
    assert results.read(tmp_path) == found
    overlap = from_json(found.contamination)["mine"]
    assert (overlap.n, overlap.trained, overlap.exact) == (10, 2, 1)
    more = measure(tmp_path, Scripted(), wanted(0, PROBLEMS[:2], "more"))
    assert more.contamination == found.contamination
    assert set(more.suites) == {"mine", "more"}


def test_two_problems_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="two problems of the suite have one id"):
        measure(tmp_path, Scripted(), wanted(1, (PROBLEMS[0], PROBLEMS[0])))


def test_a_full_disk_is_told_and_what_was_answered_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append, left = session.OpenLog.append, [20]

    def full(log: session.OpenLog, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        append(log, data)

    with monkeypatch.context() as patch:
        patch.setattr(session.OpenLog, "append", full)
        with pytest.raises(RunError, match=r"the disk is full(.|\n)*the same command"):
            measure(tmp_path, Scripted())
    target = Scripted()
    measure(tmp_path, target)
    assert target.asked.total() == 30
