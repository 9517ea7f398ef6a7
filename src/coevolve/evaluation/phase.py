"""The evaluation phase: what the executor of an iteration can do. Measures only; nothing that learns reads it."""

from __future__ import annotations

from pathlib import Path

from coevolve.config import Config
from coevolve.evaluation.meters import open_meter
from coevolve.evaluation.recorder import Recorder
from coevolve.evaluation.runner import (
    Evaluation,
    evaluate_held_out,
    evaluate_pool,
    evaluate_transfer,
    forced_fence_control,
)
from coevolve.methods.base import State
from coevolve.methods.questions import task_of
from coevolve.types import SOLVER
from coevolve.worlds.base import Meter


class Evaluate:
    """Held-out levels, transfer sets, the newest pool under the first executor, and once the forced-tool control.

    In a world that knows no answers only the tool calls of the first executor on the newest pool are left.
    """

    name = "evaluate"
    by_steps = False

    def __init__(self, config: Config, iteration: int) -> None:
        self.iteration = iteration
        self._config = config
        with_pool = iteration > 0 and config.evaluation.pool_samples > 0
        self._known = open_meter(config).knows_answers
        self._control = self._known and iteration == 0 and config.evaluation.forced_fence and config.tool.enabled
        self._transfer = self._known and config.evaluation.transfer_per_set + config.evaluation.dialogues > 0
        self._pool = with_pool and config.solver.train
        self.steps = 1 + self._transfer + self._pool + self._control

    def run(self, state: State, meter: Meter, recorder: Recorder) -> list[Path]:
        """Measure, log one row, keep the problems and their trajectories."""
        config, t = self._config, self.iteration
        section = config.evaluation
        if not self._known:
            row: dict[str, object] = {"event": "evaluation", "iteration": t, "held_out": None}
            recorder.log(row | (self._measure_pool(state, meter, recorder) if self._pool else {}))
            state.progress.step(self.steps, {})
            return []
        policy = state.checkpoints.weights(SOLVER, t)
        held_out = evaluate_held_out(state.rollouts, meter, policy, section, seed=config.seed, judge=state.judge)
        done = 1
        state.progress.step(done, {"held out": held_out.row["mean_at_8"]})
        row = {"event": "evaluation", "iteration": t, "held_out": held_out.row}
        parts = [held_out]
        if self._transfer:
            transfer = evaluate_transfer(state.rollouts, meter, policy, section, seed=config.seed, judge=state.judge)
            row["transfer"] = transfer.row
            parts.append(transfer)
            done += 1
            state.progress.step(done, {})
        row |= self._measure_pool(state, meter, recorder) if self._pool else {}
        recorder.log(row)
        self._keep(recorder, parts)
        if self._control:
            control = forced_fence_control(
                state.rollouts,
                meter,
                policy,
                section,
                state.world.contract.tool_opening,
                seed=config.seed,
                judge=state.judge,
            )
            state.store.log({"event": "control", "name": "fence_forced_base"} | control.row)
        state.progress.step(self.steps, {})
        return []

    def _measure_pool(self, state: State, meter: Meter, recorder: Recorder) -> dict[str, object]:
        """The first executor on this iteration's pool: are the tasks becoming harder?"""
        t = self.iteration
        tasks = [
            task_of(state.world, self._config, str(r["task_id"]), str(r["question"]), t)
            for r in state.store.read_table(f"tasks/iteration-{t}.parquet")
            if r["p_hat"] is not None
        ]
        first = state.checkpoints.weights(SOLVER, 1)
        samples = self._config.evaluation.pool_samples
        measure = evaluate_pool(state.rollouts, meter, first, tasks, samples, self._config.seed, judge=state.judge)
        calls: dict[str, object] = {"fixed_executor_tool_calls": {str(t): measure.tool_calls}}
        if not self._known:
            return calls
        rows = [{"task_id": x.id, "pass_rate": p} for x, p in zip(tasks, measure.per_task, strict=True)]
        recorder.table(f"meter/first-executor-{t}.parquet", rows)
        return {"first_executor_pass_rate": {str(t): measure.pass_rate}} | calls

    def _keep(self, recorder: Recorder, parts: list[Evaluation]) -> None:
        t = self.iteration
        recorder.table(f"meter/evaluation-{t}.parquet", [row for part in parts for row in part.problems])
        for part, name in zip(parts, ("held-out", "transfer"), strict=False):
            recorder.keep(f"{name}-{t}", t, self.name, part.trajectories, part.questions)
