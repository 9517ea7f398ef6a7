"""What a method is: an ordered list of phases over one state. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar

from coevolve.config import Config, OptimizerSection
from coevolve.config.acting import Distribution
from coevolve.engine.base import Trainer
from coevolve.grading.equivalence import Judge
from coevolve.learning.guard import UpdateGuard
from coevolve.methods.reporting import PhaseCost, PhaseReport
from coevolve.rollout.base import Rollouts, Snapshot
from coevolve.rollout.policy import Policy
from coevolve.teacher.asking import Teacher
from coevolve.types import SOLVER, AgentSpec, Group, LabelledTask, Task, Trajectory
from coevolve.worlds.base import World

Row = Mapping[str, object]
C = TypeVar("C", bound=Config)


class Store(Protocol):
    """The part of a run folder that phases write to and read from."""

    def log(self, row: Row) -> None: ...

    def write_table(self, relative: str, rows: Iterable[Row]) -> Path: ...

    def read_table(self, relative: str) -> list[dict[str, Any]]: ...

    def save_folder(self, relative: str, write: Callable[[Path], None]) -> Path: ...


class Observer(Protocol):
    """Receives everything a phase produces and returns nothing, so no true answer can flow back."""

    def on_votes(
        self,
        phase: str,
        iteration: int,
        groups: Sequence[Group],
        kept: Sequence[str],
        facts: Row,
        *,
        table: str,
        passed: Mapping[str, Sequence[bool | None]] | None = None,
    ) -> None:
        """Tasks that were voted on, the ids of those that are kept, and what the phase knows itself.

        Args:
            phase: name of the phase.
            facts: the row of metrics.jsonl, to which a meter may add.
            table: what the tasks are called among the files of the run, for the meter's own table of them.
            passed: by check, whether each group passes it; None for a group that it is not asked of.
        """

    def on_labels(self, tasks: Sequence[LabelledTask], facts: Row) -> None:
        """Tasks whose labels are frozen, and what the phase knows itself."""

    def on_answers(
        self, phase: str, iteration: int, batch: Sequence[tuple[LabelledTask, tuple[Trajectory, ...]]], facts: Row
    ) -> None:
        """One rollout batch of training, and what the phase knows itself."""


# The label of a task in place of what its votes say; None: it has none, and is not trained on. Only a study of what
# labels by vote cost is given one, by the driver: nothing that learns can make it.
Labeller = Callable[[Task], str | None]


class TrainerFactory(Protocol):
    """Opens a trainer on the weights of a model folder."""

    def __call__(
        self, folder: Path, section: OptimizerSection, drawn: Distribution, *, resume: bool, reference: Path | None
    ) -> Trainer:
        """``section`` is of the optimiser, and ``resume`` takes its state from the folder too; ``drawn`` is what tokens
        are drawn from, and ``reference`` the model of the KL term."""


class Checkpoints(Protocol):
    """The policies of a run by agent and iteration; iteration 0 is the base model for both roles."""

    def folder(self, agent: str, iteration: int) -> Path: ...

    def weights(self, agent: str, iteration: int) -> Snapshot: ...


class Steps(Protocol):
    """Where a phase says how far it is."""

    def step(self, done: int, facts: Mapping[str, object]) -> None: ...

    def note(self, text: str) -> None: ...


class SavePoints(Protocol):
    """Where a phase of many steps keeps what it needs to go on after the last step that was finished."""

    def load(self, policy: Policy) -> int:
        """Bring the policy to where the phase was when its process ended; returns the finished steps, else 0."""

    def save(self, policy: Policy, step: int) -> None:
        """So many steps are finished, their lines logged. Not every call writes: ``run.save_every``."""


@dataclass(slots=True)
class Spent:
    """What the main process has spent by purpose since the start: seconds, and tokens trained on."""

    train_s: float = 0.0
    grade_s: float = 0.0
    tokens_trained: int = 0

    def add(self, policy: Policy) -> None:
        """Count what a policy's training has taken since the last call."""
        self.train_s += policy.train_s
        self.tokens_trained += policy.tokens_trained
        policy.train_s, policy.tokens_trained = 0.0, 0

    @contextmanager
    def grading(self) -> Iterator[None]:
        """Count the block as time spent on votes, clusters and rewards."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.grade_s += perf_counter() - begin


@dataclass(slots=True)
class State(Generic[C]):
    """Everything a phase may use. What one phase hands to the next lies in the store, so any phase can be redone."""

    config: C
    world: World
    rollouts: Rollouts
    checkpoints: Checkpoints
    open_trainer: TrainerFactory
    store: Store
    observer: Observer
    progress: Steps
    judge: Judge
    save_points: SavePoints
    spent: Spent = field(default_factory=Spent)
    labeller: Labeller | None = None  # None: the votes label the tasks
    teacher: Teacher | None = None  # None: the method asks none


def open_policy(
    state: State[C], agent: str, iteration: int, section: OptimizerSection, *, resume: bool, reference: Path | None
) -> Policy:
    """The policy of a agent at the start of an iteration's training, from the checkpoint of the one before.

    Args:
        resume: take up the optimiser of that checkpoint; else it is new.
        reference: model of the KL term.
    """
    state.rollouts.release_memory()
    drawn = state.config.sampling.of(agent)
    trainer = state.open_trainer(
        state.checkpoints.folder(agent, iteration - 1),
        section,
        drawn,
        resume=resume,
        reference=reference,
    )
    health = state.config.health
    guard = UpdateGuard(health.explosion, health.max_skipped)
    return Policy(
        f"{agent}-{iteration}",
        trainer,
        tolerance=state.config.probe_tolerance,
        guard=guard,
        truncated=drawn.truncated,
    )


def train_steps(state: State[C], policy: Policy, steps: int, do: Callable[[int], None]) -> None:
    """Do the steps of a training phase, from 0, that are not finished yet.

    A step may depend on its number, on the policy and on what earlier phases left, and on nothing else: the process
    that does it need not be the one that did the step before.
    """
    for step in range(state.save_points.load(policy), steps):
        do(step)
        state.spent.add(policy)
        state.save_points.save(policy, step + 1)


class Phase(Protocol):
    """One part of an iteration. Redone from its start it writes the same files and the same metrics."""

    report: PhaseReport  # its name, and what others need to know of it
    iteration: int
    by_steps: bool = False  # resumes after its last step (``train_steps``), else anew with the kept trajectories
    steps: int = 1  # for the progress display

    def cost(self, config: Any) -> PhaseCost:
        """What it will ask of the engine, for plans."""
        return PhaseCost()

    def run(self, state: State[Any]) -> list[Path]:
        """Do the work; returns the files and folders that the next phases need."""


@dataclass(frozen=True, slots=True)
class Paper:
    """Where a method was published."""

    title: str
    arxiv: str  # e.g. "2511.16043"


class Method(Protocol):
    """What coevolves: agents, and the phases of an iteration over shared parts. One object per method.

    A class of one's own that derives from this one has to give ``config``, ``agents`` and ``phases``.
    """

    @property
    def name(self) -> str:
        """As in ``coevolve run NAME``."""
        return type(self).__name__

    @property
    def paper(self) -> Paper | None:
        """None where there is none."""
        return None

    @property
    def config(self) -> type[Config]:
        """The shared keys with the method's own; what ``agents`` and ``phases`` are given is one of these."""

    @property
    def default_preset(self) -> str:
        """The preset of a run that names none; empty: the defaults of ``config`` alone."""
        return ""

    @property
    def answerer(self) -> str:
        """Id of the agent that solves: it is measured, asked by ``coevolve solve`` and exported first."""
        return SOLVER

    @property
    def reports(self) -> tuple[PhaseReport, ...]:
        """Of all phases that the method has, also of those that a configuration leaves out."""
        return ()

    def agents(self, config: Any) -> tuple[AgentSpec, ...]:
        """The agents of a run, each with its label and whether this configuration trains it."""

    def phases(self, config: Any, iteration: int) -> list[Phase]:
        """The phases of one iteration, in order."""
