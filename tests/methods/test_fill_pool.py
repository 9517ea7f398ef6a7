"""The pool: who votes, which questions are asked at all, and what the next phase reads back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from answering import Answering

from coevolve.config import Config
from coevolve.curriculum.neighbours import nearest_distances
from coevolve.engine.base import Arrays
from coevolve.grading.equivalence import OWN_RULES
from coevolve.methods.base import Labeller, Row, State
from coevolve.methods.phases.fill_pool import FillPool, earlier_questions, kept_tasks
from coevolve.methods.phases.pool_report import pool_report
from coevolve.methods.polling import poll_for_reward, voters
from coevolve.methods.probe import TASKS, ProbeRow
from coevolve.methods.questions import task_of
from coevolve.methods.reporting import IDS
from coevolve.rollout.base import RolloutCost, Snapshot
from coevolve.types import PROPOSER, SOLVER, Group, LabelledTask, StopReason, Task, Trajectory
from coevolve.worlds.miniature.learner import MiniatureContract, MiniatureWorld

from .memory import TablesInMemory

Make = Callable[..., Trajectory]
Settings = Callable[..., Config]
PRODUCT = "Let a = 43 * 80. Find a."
SUM = "Let a = 12 + 30. Let b = the digit sum of a. Find b."
XOR = "Let a = 7 xor 12. Find a."
KNOWN = "Let a = 90 mod 7. Find a."


@pytest.mark.parametrize(
    ("named", "iteration", "expected"),
    [
        ("[current]", 1, [0]),
        ("[current]", 3, [2]),
        ("[current, previous, base]", 1, [0]),
        ("[current, previous, base]", 2, [1, 0]),
        ("[current, previous, base]", 3, [2, 1, 0]),
        ("[base, current]", 3, [2, 0]),
        ("[current, current]", 2, [1]),
        ("[current, middle, first]", 1, [0]),
        ("[current, middle, first]", 2, [1]),
        ("[current, middle, first]", 3, [2, 1]),
        ("[current, middle, first]", 4, [3, 2, 1]),
        ("[current, middle, first]", 10, [9, 5, 1]),
    ],
)
def test_equal_voters_count_once_and_the_current_comes_first(
    named: str, iteration: int, expected: list[int], config: Settings
) -> None:
    assert voters(config(f"pool.voters={named}").pool.voters, iteration, trained=True) == expected


def test_an_executor_that_is_never_trained_votes_once() -> None:
    assert voters(["current", "previous", "middle", "first", "base"], 3, trained=False) == [0]


@dataclass
class Written(Answering):
    """Rollouts whose texts and answers are given by question."""

    make: Make
    texts: Sequence[str]
    answers: dict[str, list[list[str | None]]]  # by question: one list of answers per voter, in order of asking
    asked: list[list[str]] = field(default_factory=list)

    def write(self, policy: Snapshot, n: int, *, seed: int) -> list[Trajectory]:
        return [self.make(text) for text in self.texts]

    def solve(
        self, policy: Snapshot, tasks: Sequence[Task], samples: int, *, seed: int, greedy: bool = False,
        opening: str = "",
    ) -> list[tuple[Trajectory, ...]]:  # fmt: skip
        self.asked.append([task.question for task in tasks])
        turn = len(self.asked) - 1
        return [tuple(self.make(answer=a, calls=1) for a in self.answers[task.question][turn]) for task in tasks]

    @property
    def cost(self) -> RolloutCost:
        return RolloutCost()

    def close(self) -> None:
        return


@dataclass
class Memory(TablesInMemory):
    """A store without a disk."""

    def log(self, row: Row) -> None:
        raise AssertionError("the pool is logged by the observer")

    def save_folder(self, relative: str, write: Callable[[Path], None]) -> Path:
        raise AssertionError("the pool saves no policy")


@dataclass
class Heard:
    """An observer that remembers, and a display that shows nothing."""

    groups: Sequence[Group] = ()
    kept: Sequence[str] = ()
    facts: dict[str, object] = field(default_factory=dict)
    probe: Sequence[LabelledTask] | None = None
    passed: Mapping[str, Sequence[bool | None]] | None = None

    def on_votes(
        self, phase: str, iteration: int, groups: Sequence[Group], kept: Sequence[str], facts: Row, *, table: str,
        passed: Mapping[str, Sequence[bool | None]] | None = None,
    ) -> None:  # fmt: skip
        self.groups, self.kept, self.facts, self.passed = groups, kept, dict(facts), passed

    def on_labels(self, tasks: Sequence[LabelledTask], facts: Row) -> None:
        self.probe = tasks

    def on_answers(
        self, phase: str, iteration: int, batch: Sequence[tuple[LabelledTask, tuple[Trajectory, ...]]], facts: Row
    ) -> None:
        raise AssertionError("no training here")

    def step(self, done: int, facts: Row) -> None:
        return

    def note(self, text: str) -> None:
        return


class World(MiniatureWorld):
    """The miniature world with one question that belongs to the meter."""

    def is_reserved(self, question: str) -> bool:
        return question == XOR


@dataclass
class Names:
    """Checkpoints that are names only."""

    asked: list[tuple[str, int]] = field(default_factory=list)

    def folder(self, agent: str, iteration: int) -> Path:
        raise AssertionError("the pool opens no folder")

    def weights(self, agent: str, iteration: int) -> Snapshot:
        self.asked.append((agent, iteration))
        return Snapshot(f"{agent}-{iteration}", -1, Arrays({}))


@dataclass
class Pool:
    """What a filled pool left."""

    rows: list[dict[str, object]]
    heard: Heard
    rollouts: Written
    store: Memory
    names: Names
    state: State


@pytest.fixture
def filled(config: Settings, trajectory: Make) -> Callable[..., Pool]:
    """Fill the pool of an iteration with these texts and answers."""

    def fill(
        texts: Sequence[str], answers: dict[str, list[list[str | None]]], *overrides: str, store: Memory | None = None,
        labeller: Labeller | None = None, make: Make = trajectory,
    ) -> Pool:  # fmt: skip
        iteration = 2 if store else 1
        store, heard, names = store or Memory(), Heard(), Names()
        if iteration == 2 and "probe/iteration-1.parquet" not in store.tables:
            store.write_table("probe/iteration-1.parquet", [asdict(ProbeRow(1, "p1-0000", 1.0, 1.0, 0, 1))])
        rollouts = Written(make, texts, answers)
        settings = config(f"pool.size={len(texts)}", *overrides)
        state = State(settings, World(), rollouts, names, None, store, heard, heard, OWN_RULES, None, labeller=labeller)  # type: ignore[arg-type]
        FillPool(settings, iteration).run(state)
        return Pool(store.read_table(f"tasks/iteration-{iteration}.parquet"), heard, rollouts, store, names, state)

    return fill


TEXTS = [f"{PRODUCT}</question>", "nonsense", f"{XOR}</question>", f" {PRODUCT} </question>", f"{SUM}</question>"]
ANSWERS: dict[str, list[list[str | None]]] = {
    PRODUCT: [["3440", "3440", "3440", "1"]],
    SUM: [["6", "6", None, "7"]],
}


def test_every_text_meets_its_fate_and_only_new_questions_are_asked(filled: Callable[..., Pool]) -> None:
    pool = filled(TEXTS, ANSWERS, "gate.upper=0.7")
    assert pool.rollouts.asked == [[PRODUCT, SUM]]
    assert [r["reason"] for r in pool.rows] == ["outside the gate", "malformed", "reserved", "duplicate", "kept"]
    assert [r["kept"] for r in pool.rows] == [False, False, False, False, True]
    assert [r["p_hat"] for r in pool.rows] == [0.75, None, None, None, 0.5]
    assert [r["label"] for r in pool.rows] == ["3440", None, None, None, "6"]
    assert pool.rows[1]["question"] == "nonsense"
    assert pool.rows[4]["counts"] == [{"answer": "6", "votes": 2}, {"answer": "7", "votes": 1}]
    assert (pool.rows[4]["valid"], pool.rows[4]["k"]) == (3, 4)


def test_a_labeller_changes_the_labels_of_what_the_gate_keeps_and_nothing_else(filled: Callable[..., Pool]) -> None:
    by_vote = filled(TEXTS, ANSWERS)
    given = filled(TEXTS, ANSWERS, labeller=lambda task: {PRODUCT: "3441", SUM: "13"}[task.question])
    assert [(x.task.question, x.label) for x in kept_tasks(by_vote.state, 1)] == [(PRODUCT, "3440"), (SUM, "6")]
    assert [(x.task.question, x.label) for x in kept_tasks(given.state, 1)] == [(PRODUCT, "3441"), (SUM, "13")]
    same = [[{**row, "label": None} for row in pool.rows] for pool in (by_vote, given)]
    assert same[0] == same[1]


def test_a_task_that_a_labeller_has_no_label_for_is_not_trained_on(filled: Callable[..., Pool]) -> None:
    pool = filled(TEXTS, ANSWERS, labeller=lambda task: {PRODUCT: "3440"}.get(task.question))
    rows = {str(row["question"]): row for row in pool.rows if row["k"]}
    assert [(rows[q]["kept"], rows[q]["reason"]) for q in (PRODUCT, SUM)] == [(True, "kept"), (False, "refused")]
    assert [x.task.question for x in kept_tasks(pool.state, 1)] == [PRODUCT]
    assert pool.heard.facts["kept"] == 1


def test_a_task_whose_fate_is_settled_gets_no_more_votes(filled: Callable[..., Pool]) -> None:
    answers: dict[str, list[list[str | None]]] = {
        PRODUCT: [["3440"] * 4],  # the chance of 6 or fewer of 8 is 1/6
        SUM: [["6", "7", None, None], ["6", "6", "6", "7"]],
    }
    rounds = ["gate.upper=0.8", "pool.votes=8", "pool.round=4", "pool.stop=0.2"]
    pool = filled(TEXTS, answers, *rounds)
    assert pool.rollouts.asked == [[PRODUCT, SUM], [SUM]]
    rows = {str(row["question"]): row for row in pool.rows if row["k"]}
    assert [(rows[q]["k"], rows[q]["p_hat"], rows[q]["kept"]) for q in (PRODUCT, SUM)] == [
        (4, 1.0, False),
        (8, 0.5, True),
    ]
    assert pool.heard.facts["votes_heard"] == 12
    (group,) = [g for g in pool.heard.groups if g.task.question == SUM]
    assert [x.sample for x in group.trajectories] == [
        0,
        0,
        0,
        0,
        4,
        4,
        4,
        4,
    ]  # every trajectory of the double is its 0th


def test_a_vote_ends_when_no_task_is_open(filled: Callable[..., Pool]) -> None:
    answers: dict[str, list[list[str | None]]] = {
        PRODUCT: [["3440"] * 4],
        SUM: [["6", "6", None, "7"]],  # 3 to 6 of 8 with a chance of 0.88
    }
    pool = filled(TEXTS, answers, "gate.upper=0.8", "pool.votes=8", "pool.round=4", "pool.stop=0.2")
    assert pool.rollouts.asked == [[PRODUCT, SUM]]
    assert [(row["k"], row["kept"]) for row in pool.rows if row["k"]] == [(4, False), (4, True)]


def test_a_label_that_working_tool_calls_contradict_can_be_left_out(filled: Callable[..., Pool]) -> None:
    kept = {key: filled(TEXTS, ANSWERS, f"gate.verified={key}").rows for key in ("false", "true")}
    assert [row["reason"] for row in kept["false"]][::4] == ["kept", "kept"]
    assert [row["reason"] for row in kept["true"]][::4] == ["kept", "kept"]
    answers: dict[str, list[list[str | None]]] = {PRODUCT: [["1", "2", "2", "3"]], SUM: [["6", "7", "6", "7"]]}
    rows = filled(TEXTS, answers, "gate.verified=true").rows
    assert [row["reason"] for row in rows][::4] == ["unverified", "unverified"]  # no answer has more than half


def test_checks_turn_tasks_away_by_name_and_are_told_of_all_that_nothing_else_does(
    filled: Callable[..., Pool], trajectory: Make
) -> None:
    """Every answer of the double ran a program that printed 1."""
    answers: dict[str, list[list[str | None]]] = {PRODUCT: [["1", "1", "2", "3"]], SUM: [["6", "6", None, "7"]]}
    told = filled(TEXTS, answers).heard
    assert told.facts["contradicted"] == 1
    checks = told.facts["checks"]
    assert checks["output"] == {"gated": False, "limit": 1.0, "passing": 1, "failing": 1}  # type: ignore[index]
    assert checks["programs"] == {"gated": False, "limit": 2.0, "passing": 0, "failing": 2}  # type: ignore[index]
    assert told.passed is not None
    assert {name: list(passed) for name, passed in told.passed.items()} == {
        "output": [True, False], "programs": [False, False], "numbers": [False, False], "refusals": [True, True],
        "own_answer": [False, False],
    }  # fmt: skip

    gated = filled(TEXTS, answers, "gate.output=true")
    assert [row["reason"] for row in gated.rows][::4] == ["kept", "output"]
    assert [row["supported"] for row in gated.rows] == [2, None, None, None, 0]
    assert gated.heard.facts["checks"]["output"]["gated"]  # type: ignore[index]
    assert gated.heard.facts["reasons"]["output"] == 1  # type: ignore[index]

    outside = filled(TEXTS, answers, "gate.lower=0.6").heard
    assert outside.passed is not None
    assert list(outside.passed["output"]) == [None, None], "the gate turns both away for another reason"
    texts = [f"{PRODUCT}</question> \\boxed{{1}}", f"{SUM}</question> \\boxed{{7}}"]
    assert [row["reason"] for row in filled(texts, answers, "gate.own_answer=true").rows] == ["kept", "own_answer"]


def test_an_answer_that_calls_a_question_unanswerable_is_no_vote(
    filled: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MiniatureContract, "refusal", "cannot be answered", raising=False)
    none = r"\text{Cannot be answered}"
    answers: dict[str, list[list[str | None]]] = {PRODUCT: [[none, none, "2", "3"]], SUM: [["6", "6", None, none]]}
    for missing in ("true", "false"):
        keys = (f"pool.count_missing={missing}", "gate.lower=0.2", "gate.refusals=0.25")
        rows = filled(TEXTS, answers, *keys).rows[::4]
        assert [row["reason"] for row in rows] == ["refusals", "kept"]
        assert [row["refusals"] for row in rows] == [0.5, 0.25]
        assert [row["k"] for row in rows] == [4, 4 if missing == "true" else 3]


def test_the_pool_is_described_without_any_truth(filled: Callable[..., Pool]) -> None:
    facts = filled(TEXTS, ANSWERS, "gate.upper=0.7").heard.facts
    assert (facts["size"], facts["asked"], facts["kept"]) == (5, 2, 1)
    assert facts["well_formed"] == pytest.approx(0.8)
    assert facts["duplicates"] == pytest.approx(0.25)
    six_six_none_seven = math.log(4) - 2 * math.log(2) / 4
    three_and_one = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert facts["vote_entropy"] == pytest.approx((three_and_one + six_six_none_seven) / 2)
    assert (facts["proposer_entropy"], facts["solver_entropy"]) == (0.5, 0.5), "every token was sampled at -0.5"
    assert facts["p_hat_histogram"] == [0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0]
    assert facts["reasons"] == {
        "kept": 1, "no_answer": 0, "below": 0, "above": 1, "narrow": 0, "unverified": 0,
        "malformed": 1, "duplicate": 1, "reserved": 1,
    }  # fmt: skip
    assert facts["tool_calls"] == 1.0


def test_a_tied_vote_trains_nothing_where_the_gate_is_told_so(filled: Callable[..., Pool]) -> None:
    answers: dict[str, list[list[str | None]]] = {PRODUCT: [["1", "2", "2", "1"]], SUM: [["6", "7", "6", None]]}
    assert [row["reason"] for row in filled(TEXTS, answers).rows][::4] == ["kept", "kept"]
    pool = filled(TEXTS, answers, "gate.ties=false")
    assert [row["reason"] for row in pool.rows][::4] == ["tied", "kept"]
    assert pool.heard.facts["reasons"]["tied"] == 1  # type: ignore[index]


def test_refused_boxes_are_counted_by_reason_and_told(filled: Callable[..., Pool], trajectory: Make) -> None:
    refused = {"error": "error", "own": "unevaluated"}

    def made(text: str = "", answer: str | None = None, **more: Any) -> Trajectory:
        found = trajectory(text, None if answer in refused else answer, **more)
        return replace(found, refused=refused.get(answer or "", ""))

    answers: dict[str, list[list[str | None]]] = {PRODUCT: [["1", "own", "1", "error"]], SUM: [["error"] * 4]}
    on = filled(TEXTS, answers, "grading.refuse_errors=true", make=made)
    assert on.heard.facts["refused"] == {"error": 5, "unevaluated": 1}
    assert [row["p_hat"] for row in on.rows][::4] == [0.5, 0.0]
    assert on.rows[0]["refused"] == [{"reason": "error", "answers": 1}, {"reason": "unevaluated", "answers": 1}]
    assert on.rows[1]["refused"] is None, "nobody was asked"
    headline = pool_report(IDS).headline([on.heard.facts], 1)
    assert "boxes refused: 5 with what a failing program said, 1 with the question's own expression" in headline
    off = filled(TEXTS, ANSWERS)
    assert "refused" not in off.heard.facts
    assert "refused" not in pool_report(IDS).headline([off.heard.facts], 1)


def test_the_first_pool_alone_leaves_a_probe_of_what_the_tool_verified(filled: Callable[..., Pool]) -> None:
    first = filled(TEXTS, ANSWERS)
    assert first.heard.probe is not None
    assert [(x.task.question, x.label) for x in first.heard.probe] == [(PRODUCT, "3440"), (SUM, "6")]
    assert len(first.store.read_table("probe/tasks.parquet")) == 2
    second = filled([f"{KNOWN}</question>"], {KNOWN: [["6", "6", "1", "2"]]}, store=first.store)
    assert second.heard.probe is None
    for off in ("solver.train=false", "health.probe=0"):
        assert filled(TEXTS, ANSWERS, off).heard.probe is None


def test_repeated_texts_are_counted_whether_or_not_they_are_questions(filled: Callable[..., Pool]) -> None:
    texts = ["nonsense", f"{SUM}</question>", "nonsense", f"{SUM}</question>", " nonsense"]
    facts = filled(texts, ANSWERS).heard.facts
    assert (facts["text_duplicates"], facts["duplicates"]) == (0.6, 0.5)


def test_questions_of_earlier_pools_are_duplicates(filled: Callable[..., Pool]) -> None:
    first = filled([f"{KNOWN}</question>", "nonsense"], {KNOWN: [["6", "6", "1", "2"]]})
    assert earlier_questions(first.store, 1) == []
    assert earlier_questions(first.store, 2) == [KNOWN]
    second = filled([f"{KNOWN}</question>", f"{SUM}</question>"], ANSWERS, store=first.store)
    assert [r["reason"] for r in second.rows] == ["duplicate", "kept"]


def test_the_pool_is_measured_against_earlier_ones(filled: Callable[..., Pool]) -> None:
    first = filled([f"{SUM}</question>"], ANSWERS)
    assert first.heard.facts["archive_nearest_mean"] is None
    assert first.heard.facts["archive_near_share"] is None
    other_numbers = re.sub(r"[0-9]", "7", SUM)
    answers = ANSWERS | {other_numbers: [["1", "1", "1", "2"]]}
    texts = [f"{other_numbers}</question>", f"{PRODUCT}</question>"]
    settings = ["reward.mask_numbers=true", "reward.bleu_threshold=0.4"]
    facts = filled(texts, answers, *settings, store=first.store).heard.facts
    far = 2 * facts["archive_nearest_mean"]  # the twin is at distance 0
    assert far == pytest.approx(nearest_distances([PRODUCT], [SUM], mask_numbers=True)[0])
    assert facts["archive_near_share"] == 0.5


def test_the_next_phase_reads_the_kept_tasks_with_their_labels(filled: Callable[..., Pool]) -> None:
    pool = filled(TEXTS, ANSWERS)
    tasks = kept_tasks(pool.state, 1)
    assert [(x.task.question, x.label, x.p_hat) for x in tasks] == [(PRODUCT, "3440", 0.75), (SUM, "6", 0.5)]
    assert [x.task.id for x in tasks] == list(pool.heard.kept) == ["p1-0000", "p1-0004"]


def test_all_voters_answers_make_one_vote(filled: Callable[..., Pool]) -> None:
    store = filled(["nonsense"], {}).store
    answers: dict[str, list[list[str | None]]] = {SUM: [["7", "7", "7", "7"], ["6", "6", "6", "6"]]}
    pool = filled([f"{SUM}</question>"], answers, "pool.voters=[current, base]", store=store)
    (row,) = pool.rows
    assert (row["k"], row["p_hat"], row["tied"], row["label"]) == (8, 0.5, True, "6")
    assert [x.answer for x in pool.heard.groups[0].trajectories] == ["7"] * 4, "those of the current executor"
    assert pool.names.asked == [(PROPOSER, 2), (SOLVER, 1), (SOLVER, 0)]


def test_an_executor_that_goes_on_after_a_rollback_votes_once(filled: Callable[..., Pool]) -> None:
    """The executor of iteration 1 was rejected, so that iteration ended with the base model once more."""
    store = filled(["nonsense"], {}).store
    store.write_table(TASKS, [{"task_id": "p1-0000", "question": SUM, "label": "6", "p_hat": 0.5}])
    store.write_table("probe/iteration-1.parquet", [{"iteration": 1, "task_id": "p1-0000", "present": 0}])
    answers: dict[str, list[list[str | None]]] = {SUM: [["7", "7", "6", "7"]]}
    pool = filled([f"{SUM}</question>"], answers, "pool.voters=[current, base]", store=store)
    assert pool.rows[0]["k"] == 4
    assert pool.names.asked == [(PROPOSER, 2), (SOLVER, 0)]


def test_the_voters_of_the_reward_are_named_apart_from_those_of_the_labels(filled: Callable[..., Pool]) -> None:
    store = filled(["nonsense"], {}).store
    answers: dict[str, list[list[str | None]]] = {SUM: [["6", "6"], ["7", "6"]]}
    pool = filled(["nonsense"], answers, "proposer.voters=[base, current]", "proposer.votes=2", store=store)
    pool.names.asked.clear()
    pool.rollouts.asked.clear()
    task = task_of(pool.state.world, pool.state.config.origin(2), "c2-0", SUM)
    newest, base = poll_for_reward(pool.state, [task], 2, seed=7)
    assert pool.names.asked == [(SOLVER, 1), (SOLVER, 0)]
    assert [x.answer for x in newest[0]] == ["6", "6"], "the current executor first, whose tool calls are rewarded"
    assert [x.answer for x in base[0]] == ["7", "6"]


def test_an_untrained_curriculum_agent_is_the_base_model(filled: Callable[..., Pool]) -> None:
    store = filled(["nonsense"], {}).store
    pool = filled(["nonsense"], {}, "proposer.train=false", store=store)
    assert pool.names.asked[0] == (PROPOSER, 0)


def test_a_pool_without_any_question_is_written_down_as_well(filled: Callable[..., Pool]) -> None:
    pool = filled(["nonsense", "more"], {})
    assert [r["reason"] for r in pool.rows] == ["malformed", "malformed"]
    assert pool.heard.facts["tool_calls"] is None
    assert sum(pool.heard.facts["p_hat_histogram"]) == 0  # type: ignore[arg-type]
    assert kept_tasks(pool.state, 1) == []


def test_a_task_that_nobody_answered_has_no_label_even_without_a_gate(filled: Callable[..., Pool]) -> None:
    pool = filled([f"{SUM}</question>"], {SUM: [[None] * 4]}, "gate.enabled=false")
    assert (pool.rows[0]["reason"], pool.rows[0]["kept"], pool.rows[0]["label"]) == ("no_answer", False, None)


def test_a_text_that_was_cut_off_is_malformed(filled: Callable[..., Pool], trajectory: Make, config: Settings) -> None:
    cut = trajectory(f"{SUM}</question>", stop=StopReason.LENGTH)
    pool = filled([f"{SUM}</question>"], ANSWERS)
    assert pool.rows[0]["well_formed"]
    pool.rollouts.write = lambda policy, n, *, seed: [cut]  # type: ignore[method-assign]
    state = State(
        config("pool.size=1"), World(), pool.rollouts, Names(), None, pool.store, Heard(), Heard(), OWN_RULES, None
    )  # type: ignore[arg-type]
    FillPool(config("pool.size=1"), 1).run(state)
    assert pool.store.read_table("tasks/iteration-1.parquet")[0]["reason"] == "malformed"


def test_a_chain_becomes_a_dialogue_where_the_configuration_has_them(filled: Callable[..., Pool]) -> None:
    first = "Let a = 12 + 30. Find a."  # what the rollouts know the dialogue by
    pool = filled(TEXTS, ANSWERS | {first: ANSWERS[SUM]}, "dialogue.turns=3", "gate.upper=1")
    plain, dialogue = kept_tasks(pool.state, 1)
    assert (plain.task.turns, plain.task.kind) == ((PRODUCT,), "chain")
    assert dialogue.task.turns == (first, "Let b = the digit sum of a. Find b.")
    assert (dialogue.task.question, dialogue.task.kind) == (SUM, "dialogue")
    assert [g.task.turns for g in pool.heard.groups] == [plain.task.turns, dialogue.task.turns]
    assert [row["question"] for row in pool.rows if row["k"]] == [PRODUCT, SUM]
