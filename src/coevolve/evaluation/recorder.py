"""What the driver writes down while a method runs, true answers included. Nothing of it goes back to the method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from coevolve.evaluation.meters import PoolMeter, is_known, true_accuracy
from coevolve.evaluation.scoring import is_right
from coevolve.grading.equivalence import Judge
from coevolve.methods.base import Labeller, Row, Store
from coevolve.statistics import mean
from coevolve.store.folder import RunFolder
from coevolve.store.trajectories import trajectory_rows
from coevolve.types import Group, LabelledTask, Trajectory
from coevolve.worlds.base import Meter


class Recorder:
    """Implements :class:`coevolve.methods.base.Observer`: measures labels and answers against the truth.

    Args:
        labeller: what labels the kept tasks of this run in place of their votes.
        files: what was written before the first phase, to be listed with it.
    """

    def __init__(
        self,
        folder: RunFolder,
        meter: Meter,
        judge: Judge,
        labeller: Labeller | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        self._folder, self._meter, self._judge, self._labeller = folder, meter, judge, labeller
        self._files: list[Path] = list(files)

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
        """Log the tasks with the accuracy of their labels; store truths and trajectories."""
        measured = PoolMeter(self._meter, judge=self._judge)
        chosen = set(kept)
        labels = {g.task.id: self._labeller(g.task) if self._labeller else g.vote.answer for g in groups}
        labelled = [
            LabelledTask(g.task, label, g.vote.p_hat)
            for g in groups
            if g.task.id in chosen and (label := labels[g.task.id])
        ]
        measured.labelled(groups, labelled)
        self._folder.log(_with_labels(dict(facts) | measured.facts, measured, passed or {}))
        self._files.append(self._folder.write_table(f"meter/{table}-{iteration}.parquet", measured.rows()))
        if self._folder.config.run.keep_trajectories:
            trajectories = [t for g in groups for t in g.trajectories]
            questions = {g.task.id: g.task.question for g in groups}
            name = f"{phase}-{iteration}"
            self._files += keep_trajectories(self._folder, name, iteration, phase, {phase: trajectories}, questions)

    def on_labels(self, tasks: Sequence[LabelledTask], facts: Row) -> None:
        """Log how many of the frozen labels are true, of those whose truth is known."""
        known = [task for task in tasks if is_known(self._meter, task.task)]
        right = [is_right(x.label, self._meter.truth(x.task), judge=self._judge) for x in known]
        self._folder.log(dict(facts) | {"label_accuracy": mean(right)})

    def on_answers(
        self, phase: str, iteration: int, batch: Sequence[tuple[LabelledTask, tuple[Trajectory, ...]]], facts: Row
    ) -> None:
        """Log the step with the true accuracy of its answers beside the reward."""
        answers = [t for _, group in batch for t in group]
        accuracy = true_accuracy(self._meter, answers, [task.task for task, _ in batch], judge=self._judge)
        self._folder.log(dict(facts) | {"true_accuracy": accuracy})

    def take_files(self) -> list[Path]:
        """The files written since the last call, for the manifest."""
        files, self._files = self._files, []
        return files


def _with_labels(row: dict[str, object], measured: PoolMeter, passed: Mapping[str, Sequence[bool | None]]) -> Row:
    """The row of a pool whose table of checks says as well how many labels are true with each of them and without."""
    table = row.get("checks")
    if not isinstance(table, Mapping):
        return row
    return row | {"checks": {check: {**entry, **measured.right_by(passed[check])} for check, entry in table.items()}}


def keep_trajectories(
    store: Store,
    name: str,
    iteration: int,
    phase: str,
    sets: Mapping[str, Sequence[Trajectory]],
    questions: Mapping[str, str],
) -> list[Path]:
    """Store trajectories by set as ``trajectories/NAME.parquet``; returns the file, or nothing where there are none."""
    if not any(sets.values()):
        return []
    rows = (
        row
        for set, trajectories in sets.items()
        for row in trajectory_rows(trajectories, iteration=iteration, phase=phase, set=set, questions=questions)
    )
    return [store.write_table(f"trajectories/{name}.parquet", rows)]
