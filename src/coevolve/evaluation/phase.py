"""The evaluation phase: what the solver of an iteration can do. Measures only; nothing that learns reads it.

With it the list of all phases of a run, and of what they report, is complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from coevolve.config import Config, TrainingSection
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.evaluation.chosen import chosen
from coevolve.evaluation.meters import RunMeter, is_known, open_meter
from coevolve.evaluation.play import play_contests, read_strategies
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
from coevolve.methods.phases.pool_tasks import read_tasks
from coevolve.methods.phases.trial import Trial
from coevolve.methods.questions import task_of
from coevolve.methods.registry import method_named, trained_agents
from coevolve.methods.reporting import PhaseCost, PhaseReport
from coevolve.rollout.base import Snapshot
from coevolve.rollout.codec import Codec
from coevolve.statistics import mean
from coevolve.suites.base import Source
from coevolve.types import PROPOSER, SOLVER, Origin
from coevolve.worlds.base import HELD_OUT, SUITES, Problem, Suite
from coevolve.worlds.play import PLAY


class Evaluate:
    """All suites of the world and of the configuration, the newest pool under the first solver, and once the
    forced-tool control.

    A world that has no problems of its own leaves the chosen suites and the newest pool, of which only the tasks with a
    known true answer are judged. A world of games has matches against fixed players, and strategies that are read off.
    """

    by_steps = False

    def __init__(self, config: Config, iteration: int, meter: RunMeter | None = None) -> None:
        self.iteration = iteration
        self._answerer = method_named(config.method).answerer
        self.report = evaluation_report(labels_of(config)[self._answerer])
        self._config, self._meter = config, meter or _meter_of(config, None)
        self._seed = PROBLEM_SEED + config.evaluation.problem_set
        with_pool = iteration > 0 and config.evaluation.pool_samples > 0 and isinstance(config, CoevolutionConfig)
        own = by_part(self._meter.own_suites(config.evaluation, self._seed))
        with_control = iteration == 0 and config.evaluation.forced_fence and config.tool.enabled
        self._control = with_control and HELD_OUT in own
        self._pool = with_pool and self._answerer in trained_agents(config)
        self._contests, self._strategies = self._meter.contests(config.evaluation), self._meter.strategies()
        self._plays = bool(self._contests or self._strategies)
        parts = len(own) + len(config.evaluation.suites) + self._plays
        self.steps = max(1, parts) + self._pool + self._control

    @cached_property
    def _parts(self) -> dict[str, list[Suite]]:
        """The suites by part; whoever only asks for names and steps need not have them."""
        return by_part(self._meter.suites(self._config.evaluation, self._seed))

    def cost(self, config: Config) -> PhaseCost:
        """What is answered; in a world without problems of its own the chosen suites and the newest pool."""
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
        matches = sum(2 * contest.matches for contest in self._contests)
        return PhaseCost(
            answers=answers + matches, prompts=prompts + matches, stored=answers, turns=turns + matches if turns else 0
        )

    def run(self, state: State[Any]) -> list[Path]:
        """Measure, log one row, keep the problems and their trajectories."""
        t = self.iteration
        files: list[Path] = []
        policy = state.checkpoints.weights(self._answerer, t) if self._parts else None
        problems: list[dict[str, object]] = []
        row: dict[str, object] = {"event": EVALUATION, "iteration": t, HELD_OUT: None}
        row |= self._measure_suites(state, policy, problems, files) if policy else {}
        row |= self._measure_play(state, problems) if self._plays else {}
        row |= self._measure_pool(state, files) if self._pool else {}
        state.store.log(row)
        if problems:
            files.append(state.store.write_table(f"meter/evaluation-{t}.parquet", problems))
        if policy and self._control:
            opening, suites = state.world.contract.tool_opening, self._parts[HELD_OUT]
            seed, judge = self._config.seed, state.judge
            control = forced_fence_control(
                state.rollouts, policy, suites, opening, seed=seed, judge=judge, agent=self._answerer
            )
            state.store.log({"event": CONTROL, "name": "fence_forced_base"} | control.row)
        state.progress.step(self.steps, {})
        return files

    def _measure_suites(
        self, state: State[Any], policy: Snapshot, problems: list[dict[str, object]], files: list[Path]
    ) -> dict[str, dict[str, object]]:
        """The parts of the row. Chosen suites are measured one after the other, so that no two are held in memory."""
        seed, judge, done = self._config.seed, state.judge, 0
        rows: dict[str, dict[str, object]] = {}
        for part, suites in self._parts.items():
            for together in [[suite] for suite in suites] if part == SUITES else [suites]:
                found = evaluate(state.rollouts, policy, together, seed=seed, judge=judge, agent=self._answerer)
                rows[part] = rows.get(part, {}) | found.row
                problems += found.problems
                files += self._keep(state, part, together, found)
                done += 1
                state.progress.step(done, _accuracy(found.row))
        return rows

    def _measure_play(self, state: State[Any], problems: list[dict[str, object]]) -> dict[str, object]:
        """The part of the row with matches against fixed players, and with strategies that were read off."""
        agent, t = self._answerer, self.iteration
        policy = state.checkpoints.weights(agent, t)
        row, matches = play_contests(state.rollouts, policy, self._contests, seed=self._config.seed, agent=agent)
        problems += matches
        if self._strategies:
            state.rollouts.release_memory()
            folder, drawn = state.checkpoints.folder(agent, t), self._config.sampling.of(agent)
            trainer = state.open_trainer(folder, TrainingSection(), drawn, resume=False, reference=None)
            base, contract = state.world.base_model(), state.world.contract
            end = min(read_vocabulary(base).ends)
            row |= read_strategies(trainer, Codec(base), end, contract, self._strategies, agent=agent)
        state.progress.step(len(self._parts) + 1, {})
        return {PLAY: row}

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
        judged = [(x.id, p) for x, p in zip(tasks, measure.per_task, strict=True) if is_known(self._meter, x)]
        rows = [{"task_id": id, "pass_rate": p} for id, p in judged]
        files.append(state.store.write_table(f"meter/first-executor-{t}.parquet", rows))
        return {"first_executor_pass_rate": {str(t): mean([p for _, p in judged])}} | calls

    def _keep(self, state: State[Any], part: str, suites: Sequence[Suite], found: Evaluation) -> list[Path]:
        t = self.iteration
        if not self._config.run.keep_trajectories:
            return []
        # The first number of a name is its iteration.
        name = f"{part}-{t}-{suites[0].key}" if part == SUITES else f"{part.replace('_', '-')}-{t}"
        return keep_trajectories(state.store, name, t, EVALUATE, found.trajectories, found.questions)


def _accuracy(row: Mapping[str, Any]) -> dict[str, object]:
    """What the progress line says of a part that was just measured."""
    if MEAN_AT_K in row:
        return {"held-out accuracy": row[MEAN_AT_K]}
    return {f"{name} accuracy": of["mean"] for name, of in row.items() if "no_answer" in of}


def run_phases(config: Config, sources: Sequence[Source] | None = None) -> list[Phase]:
    """All phases of a run in order; iteration 0 measures the base model.

    Args:
        config: of the run.
        sources: of the suites that were chosen; None: they are looked for when they are needed.
    """
    method, meter = method_named(config.method), _meter_of(config, sources)
    out: list[Phase] = [*_first_look(config), Evaluate(config, 0, meter)]
    for t in range(1, config.iterations + 1):
        out += [*method.phases(config, t), Evaluate(config, t, meter)]
    return out


def _first_look(config: Config) -> list[Phase]:
    """The look at the base model before anything else, in runs that have both agents and ask for it."""
    agents = {agent.id for agent in method_named(config.method).agents(config)}
    if isinstance(config, CoevolutionConfig) and config.has_trial and {PROPOSER, SOLVER} <= agents:
        return [Trial()]
    return []


def _meter_of(config: Config, sources: Sequence[Source] | None) -> RunMeter:
    find = partial(chosen, config.evaluation) if sources is None else lambda: sources
    return open_meter(config.world, config.dialogue, find, config.sandbox)


def run_reports(config: Config) -> tuple[PhaseReport, ...]:
    """What the phases of a run report: the evaluation, then all phases of the method.

    Those that this configuration leaves out are among them, so that every run of a method has the same keys.
    """
    method = method_named(config.method)
    looks = [phase.report for phase in _first_look(config)]
    declared = (*looks, evaluation_report(labels_of(config)[method_named(config.method).answerer]), *method.reports)
    names = {report.name for report in declared}
    return (*declared, *(x.report for x in method.phases(config, 1) if x.report.name not in names))


def labels_of(config: Config) -> dict[str, str]:
    """What the method of a run calls its agents, by id."""
    return {agent.id: agent.label for agent in method_named(config.method).agents(config)}
