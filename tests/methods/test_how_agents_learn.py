"""What the keys of an agent's training and sampling make of its trainer, its rollouts and its optimiser steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import Answering

from coevolve.config.acting import Distribution
from coevolve.engine.base import Arrays
from coevolve.grading.equivalence import OWN_RULES
from coevolve.methods.base import State
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.phases.fill_pool import FillPool
from coevolve.methods.phases.train_proposer import TrainProposer
from coevolve.methods.phases.train_solver import TrainSolver
from coevolve.methods.polling import poll, poll_for_reward
from coevolve.methods.registry import load_config
from coevolve.rollout.base import Episode, RolloutSettings, Snapshot
from coevolve.types import PROPOSER, SOLVER, Task, Trajectory
from coevolve.worlds.miniature.learner import MiniatureContract, MiniatureWorld

Settings = Callable[..., CoevolutionConfig]


class Opened(Exception):
    """A trainer was asked for."""


class Machine(Answering):
    """Checkpoints and rollouts by name: remembers what is sampled how, and with what a trainer would be opened."""

    def __init__(self, config: CoevolutionConfig, make: Callable[..., Trajectory]) -> None:
        self.settings = RolloutSettings.of(config, MiniatureContract())
        self.make = make
        self.drawn: list[tuple[str, Distribution]] = []
        self.opened: dict[str, Any] = {}
        me: Any = self
        self.state: State[Any] = State(config, MiniatureWorld(), me, me, self.open_trainer, me, me, me, OWN_RULES, me)

    def play(self, policies: Any, episodes: Sequence[Episode]) -> list[Any]:
        ((agent, _),) = policies.items()
        self.drawn += sorted({(agent, Distribution(x.sampling.temperature, x.sampling.top_p, x.sampling.top_k))
                              for x in episodes}, key=str)  # fmt: skip
        return [(self.make(answer="7"),) for _ in episodes]

    def open_trainer(self, folder: Path, section: Any, drawn: Distribution, **more: Any) -> Any:
        self.opened = {"folder": folder, "section": section, "drawn": drawn, **more}
        raise Opened

    def folder(self, agent: str, iteration: int) -> Path:
        return Path(f"{agent}-{iteration}")

    def weights(self, agent: str, iteration: int) -> Snapshot:
        return Snapshot(f"{agent}-{iteration}", -1, Arrays({}))

    def release_memory(self) -> None:
        return

    def read_table(self, relative: str) -> list[Any]:
        return []

    def write_table(self, relative: str, rows: Any) -> Path:
        return Path(relative)

    def on_votes(self, *given: Any, **more: Any) -> None:
        return

    on_labels = log = note = step = on_votes


@pytest.fixture
def machine(config: Settings, trajectory: Callable[..., Trajectory]) -> Callable[..., Machine]:
    return lambda *overrides: Machine(config(*overrides), trajectory)


def opened(machine: Machine, phase: TrainProposer | TrainSolver) -> dict[str, Any]:
    with pytest.raises(Opened):
        phase.run(machine.state)
    return machine.opened


def test_by_default_the_proposer_keeps_its_optimiser_and_refers_to_the_base_model(
    machine: Callable[..., Machine], config: Settings
) -> None:
    for t, resume in ((1, False), (3, True)):
        how = opened(machine(), TrainProposer(config(), t))
        assert (how["folder"], how["reference"], how["resume"]) == (
            Path(f"proposer-{t - 1}"),
            Path("proposer-0"),
            resume,
        )


def test_the_proposer_may_begin_each_phase_anew(machine: Callable[..., Machine], config: Settings) -> None:
    keys = ("proposer.reference=phase", "proposer.fresh_optimizer=true")
    for t in (1, 3):
        how = opened(machine(*keys), TrainProposer(config(*keys), t))
        assert how["folder"] == how["reference"] == Path(f"proposer-{t - 1}")
        assert how["resume"] is False
    assert opened(machine(*keys, "proposer.kl=0"), TrainProposer(config(), 2))["reference"] is None


def test_each_agent_has_a_trainer_with_its_own_betas_and_distribution(
    machine: Callable[..., Machine], config: Settings
) -> None:
    keys = (
        "proposer.beta2=0.999",
        "solver.beta1=0.8",
        "sampling.proposer.top_p=0.9",
        "sampling.solver.temperature=0.5",
    )
    how = opened(machine(*keys), TrainProposer(config(*keys), 1))
    assert (how["section"].beta1, how["section"].beta2, how["drawn"]) == (0.9, 0.999, Distribution(1.0, 0.9))
    how = opened(machine(*keys), TrainSolver(config(*keys), 1))
    assert (how["section"].beta1, how["section"].beta2, how["drawn"]) == (0.8, 0.99, Distribution(0.5))


TASKS = [Task("t", ("Let a = 43 * 80. Find a.",), "chain", CoevolutionConfig().origin(1))]


def drawn(machine: Machine) -> list[tuple[str, Distribution]]:
    """What tokens are drawn from in votes for a reward, in a pool's answers, and in filling a pool."""
    poll_for_reward(machine.state, TASKS, 1, seed=0)
    poll(machine.state, TASKS, 1)
    FillPool(machine.state.config, 1).run(machine.state)
    return machine.drawn


def test_votes_labels_and_the_pool_are_sampled_by_their_own_keys(machine: Callable[..., Machine]) -> None:
    found = drawn(
        machine(
            "sampling.temperature=0.9",
            "sampling.solver.top_p=0.95",
            "sampling.votes.top_k=40",
            "sampling.votes.top_p=1",
            "sampling.labels.temperature=0.7",
            "sampling.pool.top_p=0.8",
        )
    )
    assert found == [
        (SOLVER, Distribution(0.9, 1.0, 40)),
        (SOLVER, Distribution(0.7, 0.95)),
        (PROPOSER, Distribution(0.9, 0.8)),
    ]


def test_without_keys_of_their_own_all_texts_are_sampled_alike(machine: Callable[..., Machine]) -> None:
    assert {how for _, how in drawn(machine("sampling.temperature=0.8"))} == {Distribution(0.8)}


@dataclass
class Reward:
    """What a question earned."""

    total: float


@dataclass
class Text:
    """What was written."""

    trajectory: Trajectory


class Learner:
    """A policy that keeps the optimiser steps that it is given."""

    def update(self, batches: Sequence[Any], lrs: Sequence[float]) -> list[Any]:
        self.batches, self.lrs = batches, lrs
        return []


@pytest.mark.parametrize(
    ("preset", "questions", "answers", "first_rate"),
    [
        ("qwen3-4b-paper", (4, 512), (2, 1024), 1e-7),  # 128 prompts of 4; 128 tasks of 16 in two updates
        ("qwen3-4b-code", (4, 512), (1, 2048), 1e-7),
        ("r-zero-qwen3-4b-paper", (32, 64), (4, 640), 1e-6),  # 16 prompts of 4; 128 tasks of 5
        ("r-zero-qwen3-4b-code", (32, 64), (4, 640), 1e-6),
    ],
)
def test_a_step_of_the_published_batches_makes_the_published_updates(
    preset: str,
    questions: tuple[int, int],
    answers: tuple[int, int],
    first_rate: float,
    trajectory: Callable[..., Trajectory],
    labelled: Callable[..., Any],
) -> None:
    config: Any = load_config(preset)
    learner: Any = Learner()

    def check(updates: int, rows: int, size: int, rates: list[float]) -> None:
        assert [len(batch.rows) for batch in learner.batches] == [rows] * updates
        assert learner.lrs == pytest.approx(rates)
        batch = learner.batches[0]
        assert sum(float(row.weight.sum()) for row in batch.rows) == pytest.approx(1.0, rel=1e-4)
        for begin in range(0, rows, size):  # each micro-batch counts alike, and all tokens in it
            part = batch.rows[begin : begin + size]
            tokens = sum(int((row.weight > 0).sum()) for row in part)
            assert {round(float(w) * rows * tokens / size, 4) for row in part for w in row.weight if w} == {1.0}

    texts = [trajectory(length=1 + i % 3) for i in range(config.proposer.questions)]
    rewards: Any = [Reward(i % 2) for i in range(len(texts))]
    written: Any = [Text(x) for x in texts]
    TrainProposer(config, 1)._update(config, learner, written, rewards, 0)
    check(*questions, 2, [1e-6] * questions[0])
    size = config.solver.group_size
    group = tuple(trajectory(length=1 + i % 3) for i in range(size))
    batch: Any = [(labelled(f"t{i}"), group) for i in range(config.solver.tasks)]
    TrainSolver(config, 1)._update(config, learner, batch, [np.arange(size) % 2.0] * config.solver.tasks, 0)
    check(*answers, 1, [first_rate * (n + 1 if first_rate < 1e-6 else 1) for n in range(answers[0])])


def test_dual_clip_kl_gradient_loss_and_warm_up_are_those_of_the_section(
    config: Settings, trajectory: Callable[..., Trajectory], labelled: Callable[..., Any]
) -> None:
    how = ("dual_clip=3", "kl=0.1", "kl_gradient=k2", "micro_batch=1", "warmup=4", "minibatches=1", "lr=1")
    keys = [f"{agent}.{key}" for agent in ("proposer", "solver") for key in how]
    settings = config(*keys, "proposer.fresh_optimizer=true")
    texts = [trajectory(length=2), trajectory(length=6)]
    learner: Any = Learner()

    def check(step: int) -> None:
        (batch,) = learner.batches
        assert (batch.kl, batch.dual_clip, batch.kl_gradient) == (0.1, 3.0, "k2")
        assert sorted(float(row.weight.sum()) for row in batch.rows) == pytest.approx([0.5, 0.5])
        assert learner.lrs == [(step + 1) / 4]

    written: Any = [Text(x) for x in texts]
    for t in (1, 2):  # the optimiser is new in each
        TrainProposer(settings, t)._update(settings, learner, written, [Reward(1.0), Reward(1.0)], 0)  # type: ignore[list-item]
        check(0)
    TrainSolver(settings, 1)._update(settings, learner, [(labelled("a"), tuple(texts))], [np.array([1.0, 0.0])], 2)
    check(2)


def test_the_contract_of_an_answer_says_how_it_was_sampled_and_is_as_before_where_no_agent_has_keys(
    config: Settings,
) -> None:
    def contract(*keys: str) -> RolloutSettings:
        return RolloutSettings.of(config(*keys), MiniatureContract())

    plain = contract()
    assert plain.sampling.said() == {"temperature": 1.0, "max_tokens": 200, "question_tokens": 128}
    others = [
        contract(key).hash for key in ("sampling.votes.top_k=40", "sampling.solver.top_k=40", "sampling.pool.top_p=1")
    ]
    assert len({plain.hash, *others}) == 4
