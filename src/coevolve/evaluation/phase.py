"""The evaluation phase: what the solver of an iteration can do. Measures only; nothing that learns reads it.

With it the list of all phases of a run, and of what they report, is complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coevolve.config import Config
from coevolve.evaluation.meters import open_meter
from coevolve.evaluation.recorder import keep_trajectories
from coevolve.evaluation.report import CONTROL, EVALUATE, EVALUATION, evaluation_report
from coevolve.evaluation.runner import (
    PROBLEM_SEED,
    Evaluation,
    evaluate,
    evaluate_pool,
    forced_fence_control,
)
from coevolve.evaluation.suites import MEAN_AT_K, by_part
from coevolve.methods.base import Phase, State
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.phases.pool_report import read_tasks
from coevolve.methods.questions import task_of
from coevolve.methods.registry import method_named, trained_agents
from coevolve.methods.reporting import PhaseCost, PhaseReport
from coevolve.rollout.base import Snapshot
from coevolve.types import PROPOSER, Origin
from coevolve.worlds.base import HELD_OUT, Problem


class Evaluate:
    """All suites of the world, the newest pool under the first solver, and once the forced-tool control.

    In a world that knows no answers only the tool calls of the first solver on the newest pool are left.
    """

    by_steps = False

    def __init__(self, config: Config, iteration: int) -> None:
        self.iteration = iteration
        self._answerer = method_named(config.method).answerer
        self.report = evaluation_report(labels_of(config)[self._answerer])
        self._config, self._meter = config, open_meter(config.world, config.dialogue)
        with_pool = iteration > 0 and config.evaluation.pool_samples > 0 and isinstance(config, CoevolutionConfig)
        self._parts = by_part(self._meter.suites(config.evaluation, PROBLEM_SEED + config.evaluation.problem_set))
        with_control = iteration == 0 and config.evaluation.forced_fence and config.tool.enabled
        self._control = with_control and HELD_OUT in self._parts
        self._pool = with_pool and self._answerer in trained_agents(config)
        self.steps = max(1, len(self._parts)) + self._pool + self._control

    def cost(self, config: Config) -> PhaseCost:
        """What is answered; where no answers are known, the newest pool alone."""
        section = config.evaluation
        pool = config.pool.size if self._pool and isinstance(config, CoevolutionConfig) else 0
        prompts, answers = pool, pool * section.pool_samples
        turns = round(answers * config.dialogue.turns_on_average)
        every = [suite for suites in self._parts.values() for suite in suites]
        prompts += sum(suite.prompts for suite in every)
        answers += sum(suite.answers for suite in every)
        turns += sum(suite.answers * suite.turns for suite in every)
        for suite in self._parts[HELD_OUT] if self._control else ():
            prompts += suite.size
            answers += suite.size * suite.samples
            turns += suite.size * suite.samples
        return PhaseCost(answers=answers, prompts=prompts, stored=answers, turns=turns)

    def run(self, state: State[Any]) -> list[Path]:
        """Measure, log one row, keep the problems and their trajectories."""
        t = self.iteration
        files: list[Path] = []
        policy = state.checkpoints.weights(self._answerer, t) if self._parts else None
        parts = self._measure_suites(state, policy) if policy else {}
        row: dict[str, object] = {"event": EVALUATION, "iteration": t, HELD_OUT: None}
        row |= {part: found.row for part, found in parts.items()}
        row |= self._measure_pool(state, files) if self._pool else {}
        state.store.log(row)
        files += self._keep(state, parts)
        if policy and self._control:
            opening, suites = state.world.contract.tool_opening, self._parts[HELD_OUT]
            seed, judge = self._config.seed, state.judge
            control = forced_fence_control(
                state.rollouts, policy, suites, opening, seed=seed, judge=judge, agent=self._answerer
            )
            state.store.log({"event": CONTROL, "name": "fence_forced_base"} | control.row)
        state.progress.step(self.steps, {})
        return files

    def _measure_suites(self, state: State[Any], policy: Snapshot) -> dict[str, Evaluation]:
        found: dict[str, Evaluation] = {}
        for part, suites in self._parts.items():
            seed, judge = self._config.seed, state.judge
            found[part] = evaluate(state.rollouts, policy, suites, seed=seed, judge=judge, agent=self._answerer)
            accuracy = found[part].row.get(MEAN_AT_K)
            state.progress.step(len(found), {} if accuracy is None else {"held-out accuracy": accuracy})
        return found

    def _measure_pool(self, state: State[Any], files: list[Path]) -> dict[str, object]:
        """The first solver on this iteration's pool: are the tasks becoming harder?"""
        t, samples = self.iteration, self._config.evaluation.pool_samples
        origin = Origin(self._config.method, PROPOSER, t)
        tasks = [
            task_of(state.world, origin, row.task_id, row.question, self._config.dialogue.turns)
            for row in read_tasks(state.store, t)
            if row.p_hat is not None
        ]
        first = state.checkpoints.weights(self._answerer, 1)
        problems = [Problem(task, self._meter.truth(task)) for task in tasks]
        seed, judge, agent = self._config.seed, state.judge, self._answerer
        measure = evaluate_pool(state.rollouts, first, problems, samples, seed, judge=judge, agent=agent)
        calls: dict[str, object] = {"fixed_executor_tool_calls": {str(t): measure.tool_calls}}
        if not self._meter.knows_labels:
            return calls
        rows = [{"task_id": x.id, "pass_rate": p} for x, p in zip(tasks, measure.per_task, strict=True)]
        files.append(state.store.write_table(f"meter/first-executor-{t}.parquet", rows))
        return {"first_executor_pass_rate": {str(t): measure.pass_rate}} | calls

    def _keep(self, state: State[Any], parts: Mapping[str, Evaluation]) -> list[Path]:
        t = self.iteration
        if not parts:
            return []
        problems = [row for part in parts.values() for row in part.problems]
        files = [state.store.write_table(f"meter/evaluation-{t}.parquet", problems)]
        if self._config.run.keep_trajectories:
            for part, found in parts.items():
                name = part.replace("_", "-")
                files += keep_trajectories(state.store, f"{name}-{t}", t, EVALUATE, found.trajectories, found.questions)
        return files


def run_phases(config: Config) -> list[Phase]:
    """All phases of a run in order; iteration 0 measures the base model."""
    method = method_named(config.method)
    out: list[Phase] = [Evaluate(config, 0)]
    for t in range(1, config.iterations + 1):
        out += [*method.phases(config, t), Evaluate(config, t)]
    return out


def run_reports(config: Config) -> tuple[PhaseReport, ...]:
    """What the phases of a run report: the evaluation, then all phases of the method.

    Those that this configuration leaves out are among them, so that every run of a method has the same keys.
    """
    method = method_named(config.method)
    declared = (evaluation_report(labels_of(config)[method_named(config.method).answerer]), *method.reports)
    names = {report.name for report in declared}
    return (*declared, *(x.report for x in method.phases(config, 1) if x.report.name not in names))


def labels_of(config: Config) -> dict[str, str]:
    """What the method of a run calls its agents, by id."""
    return {agent.id: agent.label for agent in method_named(config.method).agents(config)}
