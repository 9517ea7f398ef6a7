"""What the executor's trajectories are told: labels, advantages, clip bounds, and in which batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from coevolve.learning.rows import Lesson
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.labels import label_rewards
from coevolve.methods.metrics import train_facts
from coevolve.methods.own import shape_of
from coevolve.methods.phases.fill_pool import kept_tasks
from coevolve.methods.phases.train_solver import TrainSolver, above_the_floor, lessons, p_hat_bin, task_batches
from coevolve.types import Batch, LabelledTask, StopReason, TrainStats, Trajectory
from coevolve.worlds.miniature.learner import MiniatureWorld

from .memory import TablesInMemory

Make = Callable[..., Trajectory]
Label = Callable[..., LabelledTask]
Settings = Callable[..., CoevolutionConfig]


def taught(
    settings: CoevolutionConfig, task: LabelledTask, group: Sequence[Trajectory], rewards: np.ndarray
) -> list[Lesson]:
    """What a task teaches under a configuration."""
    return lessons(shape_of(settings.objective, settings.solver, settings.adpo, task.p_hat), task, group, rewards)


@pytest.mark.parametrize(("tasks", "size"), [(1, 4), (3, 2), (5, 5), (7, 3), (10, 4), (32, 31), (8, 100)])
def test_every_task_comes_once_per_pass(tasks: int, size: int, labelled: Label) -> None:
    pool = [labelled(f"t{i}") for i in range(tasks)]
    batches = list(islice(task_batches(pool, size, seed=1), 60))
    assert {len(b) for b in batches} == {min(size, tasks)}
    for batch in batches:
        assert len({x.task.id for x in batch}) == len(batch), "no task twice in a batch"
    stream = [x.task.id for batch in batches for x in batch]
    for start in range(0, len(stream) - tasks + 1, tasks):
        assert set(stream[start : start + tasks]) == {x.task.id for x in pool}
    counts = Counter(stream)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_passes_differ_and_the_seed_decides(labelled: Label) -> None:
    pool = [labelled(f"t{i}") for i in range(12)]

    def order(seed: int) -> list[str]:
        return [x.task.id for batch in islice(task_batches(pool, 4, seed), 6) for x in batch]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1)[:12] != order(1)[12:]


@pytest.mark.parametrize("p_hat", [0.25, 0.3, 0.45, 0.5, 0.7, 0.8, 0.95])
def test_adpo_without_scale_and_extra_is_grpo_to_the_last_bit(
    p_hat: float, config: Settings, labelled: Label, trajectory: Make
) -> None:
    grpo, flat = config("objective=grpo"), config("adpo.scale_floor=1.0", "adpo.clip_extra=0.0")
    group = [trajectory() for _ in range(8)]
    rewards = np.array([1.0, 0, 0, 1, 0, 0, 0, 1])
    ours, theirs = (taught(c, labelled("t", p_hat=p_hat), group, rewards) for c in (flat, grpo))
    assert [x.advantage for x in ours] == [x.advantage for x in theirs]
    assert [(x.clip_low, x.clip_high) for x in ours] == [(x.clip_low, x.clip_high) for x in theirs]


def test_adpo_trusts_ambiguous_tasks_less_and_lets_them_move_further(
    config: Settings, labelled: Label, trajectory: Make
) -> None:
    group, rewards = [trajectory() for _ in range(4)], np.array([1.0, 0, 0, 1])
    unsure, sure = (taught(config(), labelled("t", p_hat=p), group, rewards)[0] for p in (0.3, 0.8))
    assert unsure.advantage == pytest.approx(0.6 * sure.advantage)
    assert (unsure.clip_high, sure.clip_high) == (pytest.approx(0.3), pytest.approx(0.2))
    assert unsure.clip_low == sure.clip_low == 0.2


def test_a_lost_trajectory_teaches_nothing_and_moves_no_baseline(
    config: Settings, labelled: Label, trajectory: Make
) -> None:
    answered = [trajectory(answer="1"), trajectory(answer="2"), trajectory(answer="1")]
    lost = trajectory(stop=StopReason.INFRASTRUCTURE)
    task = labelled("t", "1")
    alone = taught(config(), task, answered, label_rewards(task, answered))
    group = [answered[0], lost, *answered[1:], lost]
    together = taught(config(), task, group, label_rewards(task, group))
    told = [x for x in together if x.trajectory.stop is not StopReason.INFRASTRUCTURE]
    assert [x.advantage for x in told] == [x.advantage for x in alone]
    assert all(x.advantage == 0 for x in together if x.trajectory.stop is StopReason.INFRASTRUCTURE)
    assert not any(x.advantage for x in taught(config(), task, [lost, lost], np.zeros(2)))


def test_a_lost_trajectory_is_not_even_held_to_the_reference(
    config: Settings, labelled: Label, trajectory: Make
) -> None:
    settings = config("solver.kl=0.1", "solver.minibatches=1")
    task = labelled("t", "1")
    group = (trajectory(answer="1"), trajectory(answer="2"), trajectory(stop=StopReason.INFRASTRUCTURE, length=9))
    policy = Batches()
    rewards = [label_rewards(task, group)]
    TrainSolver(settings, 1)._update(settings, policy, [(task, group)], rewards, step=0)  # type: ignore[arg-type]
    (batch,) = policy.batches
    assert [len(row.tokens) for row in batch.rows] == [6, 6]
    assert sum(row.weight.sum() for row in batch.rows) == pytest.approx(1.0)


class Batches:
    """A policy that only keeps what it would have been trained on."""

    def update(self, batches: Sequence[Batch], lrs: Sequence[float]) -> list[TrainStats]:
        self.batches = list(batches)
        return [TrainStats() for _ in batches]


def test_without_a_trained_token_there_is_no_mean() -> None:
    assert train_facts([TrainStats(), TrainStats()], 0.0)["entropy"] is None
    facts = train_facts([TrainStats(tokens=3, entropy=6.0, clipped_high=1, grad_norm=2.0), TrainStats(tokens=1)], 0.0)
    assert (facts["entropy"], facts["clip_fraction"], facts["grad_norm"]) == (1.5, 0.25, 2.0)


def test_a_group_that_agrees_teaches_nothing(config: Settings, labelled: Label, trajectory: Make) -> None:
    for value in (0.0, 1.0):
        told = taught(config(), labelled("t"), [trajectory() for _ in range(4)], np.full(4, value))
        assert [x.advantage for x in told] == [0.0] * 4


def test_the_reward_is_agreement_with_the_label_in_any_spelling(labelled: Label, trajectory: Make) -> None:
    answers = ["12", " 12.0", "012", "13", None]
    group = [trajectory(answer=a) for a in answers]
    assert label_rewards(labelled("t", "12"), group).tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("p_hat", "expected"),
    [(0.0, 0), (0.29, 0), (0.3, 1), (0.49, 1), (0.5, 2), (0.69, 2), (0.7, 3), (0.8, 3), (0.81, 4), (1.0, 4)],
)
def test_bins_of_p_hat_are_those_of_the_metrics(p_hat: float, expected: int) -> None:
    assert p_hat_bin(p_hat) == expected


@pytest.mark.parametrize(("votes", "k", "expected"), [(3, 10, 1), (7, 10, 3), (8, 10, 3), (9, 10, 4), (12, 15, 3)])
def test_a_share_of_votes_falls_into_the_bin_of_its_fraction(votes: int, k: int, expected: int) -> None:
    assert p_hat_bin(votes / k) == expected


def test_below_the_entropy_floor_only_what_missed_the_label_teaches(
    config: Settings, labelled: Label, trajectory: Make
) -> None:
    told = taught(config(), labelled("t"), [trajectory() for _ in range(4)], np.array([1.0, 0.0, 0.0, 0.0]))
    advantages = [x.advantage for x in told]
    for entropy, floor in ((None, 0.1), (0.1, 0.1), (0.2, 0.1), (0.05, 0.0)):
        assert [x.advantage for x in above_the_floor([told], entropy, floor)[0]] == advantages
    kept = [x.advantage for x in above_the_floor([told], 0.05, 0.1)[0]]
    assert kept[0] == 0.0
    assert kept[1:] == advantages[1:]
    assert max(kept[1:]) < 0


@pytest.mark.parametrize(
    ("replay", "iteration", "old"), [(0.25, 1, 0), (0.25, 2, 2), (0.25, 3, 2), (0.9, 3, 7), (0.0, 3, 0)]
)
def test_a_share_of_each_batch_comes_from_earlier_pools(
    replay: float, iteration: int, old: int, config: Settings
) -> None:
    store = TablesInMemory()
    for t in (1, 2, 3):
        row = {"label": "1", "p_hat": 0.5, "counts": [{"answer": "1", "votes": 4}], "kept": True, "well_formed": True}
        store.write_table(
            f"tasks/iteration-{t}.parquet", [row | {"task_id": f"p{t}-{n}", "question": f"{t}.{n}"} for n in range(9)]
        )
    settings = config("solver.tasks=8", "solver.minibatches=1", f"solver.replay={replay}", "solver.steps=3")
    solver = TrainSolver(settings, iteration)
    state = SimpleNamespace(config=settings, store=store, world=MiniatureWorld())
    batches = solver._batches(state, kept_tasks(state, iteration))  # type: ignore[arg-type]
    assert len(batches) == 3
    for batch in batches:
        ages = [x.task.id[1] == str(iteration) for x in batch]
        assert (ages.count(True), ages.count(False)) == (8 - old, old)
        assert len({x.task.id for x in batch}) == 8
        assert batch[0].counts == (("1", 4),)
