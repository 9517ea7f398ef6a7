"""What only measuring code knows of a run: whether its pseudo-labels and answers are true, and all of its suites.

The recorder passes on what the loop has done and reads the numbers for the run folder. No method that the loop could
call returns anything, and nothing that learns may import this module: true answers never flow back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from coevolve.config import DialogueSection, EvaluationSection, SandboxSection
from coevolve.config.dotted import is_dotted, load_object
from coevolve.evaluation.scoring import is_right
from coevolve.grading.equivalence import OWN_RULES, Judge
from coevolve.statistics import mean
from coevolve.suites.base import Source, suite_of
from coevolve.types import Group, LabelledTask, Task, Trajectory
from coevolve.worlds.base import HELD_OUT, Meter, Suite
from coevolve.worlds.code.learner import CodeWorld
from coevolve.worlds.code.meter import CodeMeter
from coevolve.worlds.games.meter import GamesMeter
from coevolve.worlds.miniature.meter import MiniatureMeter
from coevolve.worlds.open.meter import OpenMeter
from coevolve.worlds.play import Contest, ReadStrategy


class PoolMeter:
    """The truth about one iteration's pool.

    Call ``labelled`` once the pool has been voted on and gated; read the rest afterwards. Accuracies are
    fractions, NaN while there is nothing to measure. In a world that knows some answers only they are fractions of the
    tasks whose true answer is known.
    """

    def __init__(self, meter: Meter, *, judge: Judge = OWN_RULES) -> None:
        self._meter, self._judge = meter, judge
        self._all: list[dict[str, object]] = []
        self._majorities: list[bool | None] = []  # of all groups; None where the truth is not known
        self._kept: list[bool] = []

    def labelled(self, groups: Sequence[Group], kept: Sequence[LabelledTask]) -> None:
        """Take note of a pool's votes and of the tasks that passed the gate, in place of an earlier pool."""
        if not self._meter.knows_labels:
            return
        labels = {item.task.id: item.label for item in kept}
        self._all = [self._row(group, labels.get(group.task.id, group.vote.answer)) for group in groups]
        self._majorities = [
            None
            if row["label_right"] is None
            else bool(row["label_right"])
            if labels.get(group.task.id, group.vote.answer) == group.vote.answer
            else is_right(group.vote.answer, self._meter.truth(group.task), judge=self._judge)
            for group, row in zip(groups, self._all, strict=True)
        ]
        self._kept = [
            is_right(item.label, self._meter.truth(item.task), judge=self._judge)
            for item in kept
            if is_known(self._meter, item.task)
        ]

    @property
    def label_accuracy_all(self) -> float:
        """Share of all tasks whose majority answer is true; without a majority or a truth it is wrong."""
        return mean(self._judged)

    @property
    def label_accuracy_kept(self) -> float:
        """Share of the kept tasks whose label is true."""
        return mean(self._kept)

    def right_by(self, passed: Sequence[bool | None]) -> dict[str, object]:
        """Shares of true labels among the tasks that pass a check and among those that fail it, to be logged.

        Where not all true answers are known they are of the tasks whose answer is, with the numbers of these.

        Args:
            passed: of all groups; None for one that is left out.
        """
        found: dict[str, object] = {}
        for name, way in (("passing", True), ("failing", False)):
            judged = zip(passed, self._majorities or [None] * len(passed), strict=True)
            right = [label for one, label in judged if one is way and label is not None]
            found[f"right_{name}"] = mean(right)
            if self._meter.knows_labels and not self._meter.knows_all_labels:
                found[f"known_{name}"] = len(right)
        return found

    @property
    def _judged(self) -> list[bool]:
        return [right for right in self._majorities if right is not None]

    @property
    def facts(self) -> dict[str, object]:
        """What is logged: both accuracies, and of how many tasks they are where not all true answers are known."""
        found: dict[str, object] = {
            "label_accuracy_kept": self.label_accuracy_kept,
            "label_accuracy_all": self.label_accuracy_all,
        }
        if self._meter.knows_labels and not self._meter.knows_all_labels:
            found |= {"label_known_kept": len(self._kept), "label_known_all": len(self._judged)}
        return found

    def rows(self) -> list[dict[str, object]]:
        """The rows of meter/tasks-N.parquet: task_id, truth, label_right (null where the truth is not known)."""
        return list(self._all)

    def _row(self, group: Group, label: str | None) -> dict[str, object]:
        truth = self._meter.truth(group.task)
        known = truth is not None or self._meter.knows_all_labels
        right = is_right(label, truth, judge=self._judge) if known else None
        return {"task_id": group.task.id, "truth": truth, "label_right": right}


def is_known(meter: Meter, task: Task) -> bool:
    """Whether an answer to a task can be called right or wrong."""
    return meter.knows_labels and (meter.knows_all_labels or meter.truth(task) is not None)


def true_accuracy(
    meter: Meter, trajectories: Sequence[Trajectory], tasks: Sequence[Task], *, judge: Judge = OWN_RULES
) -> float:
    """Share of answers that equal the true answer of their task; NaN without answers that can be judged.

    Args:
        trajectories: the answers of an executor step, in any order.
        tasks: their tasks, each at least once; a task that has no true answer makes all its answers wrong, one whose
            true answer is not known leaves them out.

    Raises:
        KeyError: an answer belongs to none of the tasks.
    """
    if not meter.knows_labels:
        return float("nan")
    truths = {task.id: (is_known(meter, task), meter.truth(task)) for task in tasks}
    judged = [(x.answer, *truths[x.task_id]) for x in trajectories]
    return mean([is_right(answer, truth, judge=judge) for answer, known, truth in judged if known])


class RunMeter:
    """Implements ``coevolve.worlds.base.Meter`` for a run: the meter of its world, and the suites that were chosen.

    Args:
        world: what the world knows.
        sources: called when the suites are needed, so that a meter costs nothing.
    """

    def __init__(self, world: Meter, sources: Callable[[], Sequence[Source]] = tuple) -> None:
        self._world, self._sources = world, cache(sources)

    @property
    def knows_labels(self) -> bool:
        """Whether the world knows true answers of tasks that a proposer wrote."""
        return self._world.knows_labels

    @property
    def knows_all_labels(self) -> bool:
        """Whether a task without a true answer has none; so it is in a world of one's own that does not say."""
        return bool(getattr(self._world, "knows_all_labels", self._world.knows_labels))

    def has_held_out(self, section: EvaluationSection) -> bool:
        """Whether the world has held-out problems of its own."""
        return any(suite.part == HELD_OUT for suite in self.own_suites(section, seed=0))

    def truth(self, task: Task) -> str | None:
        """The true answer as the world knows it; a suite knows nothing of other tasks than its own."""
        return self._world.truth(task)

    def contests(self, section: EvaluationSection) -> Sequence[Contest]:
        """The matches that every policy plays against fixed players; none in a world without games."""
        found: Sequence[Contest] = getattr(self._world, "contests", lambda section: ())(section)
        return found

    def has_contests(self, section: EvaluationSection) -> bool:
        """Whether policies play matches against fixed players."""
        return bool(self.contests(section))

    def strategies(self) -> Sequence[ReadStrategy]:
        """The games whose whole strategy is read off; none in a world without games."""
        found: Sequence[ReadStrategy] = getattr(self._world, "strategies", tuple)()
        return found

    def own_suites(self, section: EvaluationSection, seed: int) -> Sequence[Suite]:
        """Those of the world alone."""
        return self._world.suites(section, seed)

    def suites(self, section: EvaluationSection, seed: int) -> Sequence[Suite]:
        """Those of the world, then the chosen ones in the order of the configuration.

        Raises:
            ConfigError: a chosen one does not exist.
        """
        k, limit, greedy = section.suite_samples, section.suite_limit, section.suite_greedy
        return [
            *self.own_suites(section, seed),
            *(suite_of(source, samples=k, limit=limit, greedy=greedy) for source in self._sources()),
        ]


def open_meter(
    world: str,
    dialogue: DialogueSection,
    sources: Callable[[], Sequence[Source]] = tuple,
    sandbox: SandboxSection | None = None,
) -> RunMeter:
    """The meter of a run; opening one costs nothing. A world of one's own names the class of its meter, by dotted
    path, in its attribute ``meter``; without one nothing that a proposer writes is known to be right.

    Args:
        world: as in the configuration.
        dialogue: says what the true answer of a dialogue is.
        sources: of the suites that are measured beside those of the world, called when they are needed.
        sandbox: where a meter that has to runs programs; None: as the defaults say.
    """
    return RunMeter(_meter_of(world, dialogue, sandbox), sources)


def _meter_of(world: str, dialogue: DialogueSection, sandbox: SandboxSection | None) -> Meter:
    if world == CodeWorld.name:
        return CodeMeter(sandbox or SandboxSection())
    if world == "miniature":
        return MiniatureMeter(all_turns=dialogue.judged == "all")
    if world == "games":
        return GamesMeter()
    own = getattr(load_object(world, "world"), "meter", None) if is_dotted(world) else None
    meter: Meter = load_object(own, "meter of the world", needs=("truth", "suites"))() if own else OpenMeter()
    return meter
