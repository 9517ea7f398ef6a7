"""What the keys of an agent's training and sampling make of its trainer, its rollouts and its optimiser steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Learner:
    """A policy that keeps the optimiser steps that it is given."""

    def update(self, batches: Sequence[Any], lrs: Sequence[float]) -> list[Any]:
        self.batches, self.lrs = batches, lrs
        return []


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

    class Reward:
        total = 1.0

    class Text:
        def __init__(self, trajectory: Trajectory) -> None:
            self.trajectory = trajectory

    written: Any = [Text(x) for x in texts]
    for t in (1, 2):  # the optimiser is new in each
        TrainProposer(settings, t)._update(settings, learner, written, [Reward(), Reward()], 0)  # type: ignore[list-item]
        check(0)
    TrainSolver(settings, 1)._update(settings, learner, [(labelled("a"), tuple(texts))], [np.array([1.0, 0.0])], 2)
    check(2)
