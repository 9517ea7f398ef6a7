"""What the driver writes down while a method runs, true answers included. Nothing of it goes back to the method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from coevolve.evaluation.meters import PoolMeter, true_accuracy
from coevolve.evaluation.scoring import is_right
from coevolve.grading.equivalence import Judge
from coevolve.methods.base import Row
from coevolve.statistics import mean
from coevolve.store.folder import RunFolder
from coevolve.store.trajectories import trajectory_rows
from coevolve.types import Group, LabelledTask, Trajectory
from coevolve.worlds.base import Meter


class Recorder:
    """Implements :class:`coevolve.methods.base.Listener`: measures labels and answers against the truth."""

    def __init__(self, folder: RunFolder, meter: Meter, judge: Judge) -> None:
        self._folder, self._meter, self._judge = folder, meter, judge
        self._files: list[Path] = []
        self.last: dict[str, object] = {}  # the newest row, for the progress display

    def on_pool(self, iteration: int, groups: Sequence[Group], kept: Sequence[str], facts: Row) -> None:
        """Log the pool with the accuracy of its labels; store truths and trajectories."""
        measured = PoolMeter(self._meter, judge=self._judge)
        chosen = set(kept)
        labelled = [
            LabelledTask(g.task, g.vote.answer, g.vote.p_hat) for g in groups if g.task.id in chosen and g.vote.answer
        ]
        measured.labelled(groups, labelled)
        accuracy = {
            "label_accuracy_kept": measured.label_accuracy_kept,
            "label_accuracy_all": measured.label_accuracy_all,
        }
        self.log(dict(facts) | accuracy)
        self._files.append(self._folder.write_table(f"meter/tasks-{iteration}.parquet", measured.rows()))
        trajectories = [t for g in groups for t in g.trajectories]
        questions = {g.task.id: g.task.question for g in groups}
        self.keep(f"pool-{iteration}", iteration, "pool", {"pool": trajectories}, questions)

    def on_probe(self, tasks: Sequence[LabelledTask]) -> None:
        """Log how many of the frozen labels are true."""
        known = tasks if self._meter.knows_answers else ()
        right = [is_right(x.label, self._meter.truth(x.task), judge=self._judge) for x in known]
        self.log({"event": "probe_tasks", "iteration": 1, "tasks": len(tasks), "label_accuracy": mean(right)})

    def on_executor_step(
        self, iteration: int, batch: Sequence[tuple[LabelledTask, tuple[Trajectory, ...]]], facts: Row
    ) -> None:
        """Log the step with the true accuracy of its answers beside the reward."""
        answers = [t for _, group in batch for t in group]
        accuracy = true_accuracy(self._meter, answers, [task.task for task, _ in batch], judge=self._judge)
        self.log(dict(facts) | {"true_accuracy": accuracy})

    def log(self, row: Row) -> None:
        """Write a metrics row and remember it."""
        self._folder.log(row)
        self.last = dict(row)

    def keep(
        self,
        name: str,
        iteration: int,
        phase: str,
        sets: Mapping[str, Sequence[Trajectory]],
        questions: Mapping[str, str],
    ) -> None:
        """Store trajectories by set as ``trajectories/NAME.parquet`` unless the configuration says not to."""
        if not self._folder.config.run.keep_trajectories:
            return
        if any(sets.values()):
            rows = (
                row
                for set, trajectories in sets.items()
                for row in trajectory_rows(trajectories, iteration=iteration, phase=phase, set=set, questions=questions)
            )
            self._files.append(self._folder.write_table(f"trajectories/{name}.parquet", rows))

    def table(self, relative: str, rows: Sequence[Row]) -> None:
        """Store a table of the phase in progress."""
        self._files.append(self._folder.write_table(relative, rows))

    def take_files(self) -> list[Path]:
        """The files written since the last call, for the manifest."""
        files, self._files = self._files, []
        return files
