"""The keys of Agent0 and R-Zero: what is rewarded, which tasks are kept, and how both agents learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from coevolve.config import Config, Section, TrainingSection, at_iteration
from coevolve.config.dotted import DottedPath
from coevolve.config.section import Probability, ProbabilityPerIteration, StepsPerIteration, Voter
from coevolve.curriculum.checks import Limits
from coevolve.methods.base import State
from coevolve.methods.setup import Heat, Setup
from coevolve.types import PROPOSER, SOLVER, Ban, KLGradient, Origin


class ChecksSection(Section):
    """What a question must keep that can be known without a true answer (:mod:`coevolve.curriculum.checks`).

    In the reward a question that fails earns nothing for its uncertainty; at the gate its task is not kept.
    """

    output: bool = Field(
        False,
        description="the majority answer must be what most of the programs behind it printed last (paper: not asked)",
    )
    programs: int = Field(
        0,
        ge=0,
        description="programs of different shape that must lead to the majority answer, at least (paper: 0)",
    )
    numbers: Probability = Field(
        0.0, description="least share of the question's numbers that the programs behind the answer use (paper: none)"
    )
    refusals: Probability = Field(
        1.0,
        description="largest share of answers that call the question unanswerable, where the prompts have words for "
        "that (paper: any)",
    )

    def limits(self) -> Limits:
        """The keys as the checks take them, without the writer's own answer."""
        return Limits(self.output, self.programs, self.numbers, self.refusals)


class RewardSection(ChecksSection):
    lambda_unc: float = Field(1.0, ge=0, description="weight of the uncertainty reward")
    lambda_tool: float = Field(0.6, ge=0, description="weight of the tool reward; 0 = the no-tool-reward ablation")
    lambda_rep: float = Field(1.0, ge=0, description="weight of the repetition penalty; 0 = the ablation")
    lambda_novelty: float = Field(0.0, ge=0, description="penalty on questions that the archive already holds")
    lambda_memory: float = Field(
        0.0, ge=0, description="penalty on nearness to the questions of all earlier steps and iterations (paper: 0)"
    )
    lambda_code: float = Field(
        0.0,
        ge=0,
        description="penalty on questions whose programs compute as those of many others do, of this batch and of all "
        "earlier steps and iterations (paper: 0)",
    )
    gamma: float = Field(
        0.25, ge=0, description="tool reward per call; 1/tool_cap bounds it by 1 (the paper gives none)"
    )
    tool_cap: int = Field(4, ge=1, description="tool calls that count at most (paper: C)")
    tool_count: Literal["mean", "majority", "max"] = Field(
        "mean", description="how calls of the k answers become N_tool"
    )
    peak: ProbabilityPerIteration = Field(0.5, description="p_hat with the largest uncertainty reward (paper: 0.5)")
    bleu_threshold: float = Field(0.5, gt=0, le=1.0, description="distance below which questions share a cluster")
    mask_numbers: bool = Field(False, description="compare questions with every number replaced by #")
    clip_at_zero: bool = Field(True, description="no reward is below 0; false = what R-Zero's code computes")
    own_answer: bool = Field(
        False,
        description="no uncertainty reward unless the writer's own answer is the majority's and p_hat is above 0.1; "
        "true = what Agent0's code computes",
    )
    malformed: float = Field(0.0, le=0, description="what a text earns that is no well-formed question (R-Zero: -1)")
    extra: list[DottedPath] = Field(
        default_factory=list, description="functions of one's own whose values are added (docs/own-idea.md)"
    )

    @property
    def remembers(self) -> bool:
        """Whether the reward depends on the questions of earlier steps."""
        return self.lambda_memory > 0 or self.lambda_code > 0

    @field_validator("extra", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class LearnerSection(TrainingSection):
    """How the loss of the proposer or the solver is made of its tokens."""

    dual_clip: Annotated[float, Field(gt=1)] | None = Field(
        None, description="where the advantage is negative, the largest ratio that counts; null = none"
    )
    loss: Literal["token", "sequence", "fixed"] = Field(
        "token", description="mean over tokens, per sequence, or fixed length"
    )
    micro_batch: int = Field(
        0,
        ge=0,
        description="with the mean over tokens: so many sequences share one, and the loss is the mean of these means; "
        "0 = all of an optimiser step",
    )
    kl_gradient: KLGradient = Field(
        "k3",
        description="of the KL term: that of k3, which is the gradient of KL(reference || policy); or that of k2 or, "
        "corrected, of k3 times the ratio, which are those of KL(policy || reference)",
    )


class ProposerSection(LearnerSection):
    train: bool = Field(True, description="train the curriculum agent; false = the untrained-curriculum ablation")
    steps: StepsPerIteration = Field(5, description="GRPO steps of one iteration")
    questions: int = Field(64, ge=2, description="questions written in one step")
    group_size: int = Field(64, ge=2, description="questions that share one baseline; all prompts are the same")
    tool: bool = Field(False, description="give the curriculum agent the Python tool while it composes")
    own_answer: bool = Field(False, description="a question without the writer's own boxed answer is malformed")
    baseline: Literal["mean", "leave_one_out"] = Field(
        "mean", description="baseline of a group: the mean of all its rewards (paper), or of all others"
    )
    vocabulary_mask: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the tokens that the format does not need which the proposer may not use, drawn anew for "
        "every batch of proposer.questions texts, in training and in the pool (paper: 0)",
    )
    votes: int = Field(8, ge=2, description="answers per question and voter (paper: k = 10)")
    voters: list[Voter] = Field(
        default=["current"], min_length=1, description="executors whose answers make p_hat (paper: current only)"
    )
    kl: float = Field(0.05, ge=0, description="coefficient of the KL term to the reference")
    reference: Literal["base", "phase"] = Field(
        "base", description="model of the KL term: the base model, or the agent as it was at the start of the iteration"
    )
    fresh_optimizer: bool = Field(
        False, description="a new optimiser in every iteration, as the executor has one; false: it is kept"
    )

    def ban(self, seed: int) -> Ban | None:
        """What the texts of a batch may not hold; None: anything."""
        return Ban(seed, self.vocabulary_mask) if self.vocabulary_mask else None


class PoolSection(Section):
    size: int = Field(256, ge=1, description="questions written for the executor in one iteration")
    votes: int = Field(8, ge=2, description="answers per question and voter")
    count_missing: bool = Field(
        True, description="an answer without a box stays in the denominator of p_hat; false = what R-Zero's code does"
    )
    stop: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="a task gets no more votes once the chance that its p_hat ends inside the gate is below this, or "
        "above 1 minus this; 0 = all get all votes (paper)",
    )
    round: int = Field(2, ge=1, description="answers per voter between two looks at that chance")
    voters: list[Voter] = Field(
        default=["current"],
        min_length=1,
        description="executors whose answers vote together (paper: current only); equal ones count once. "
        "middle: half the age of the current one; first: the one after iteration 1",
    )


class GateSection(ChecksSection):
    enabled: bool = Field(True, description="keep only tasks at the frontier; false = the ablation")
    lower: ProbabilityPerIteration = Field(0.3, description="smallest p_hat that is kept, inclusive")
    upper: ProbabilityPerIteration = Field(0.8, description="largest p_hat that is kept, inclusive")
    margin: ProbabilityPerIteration = Field(
        0.0, description="share of the votes by which the majority must be ahead of the runner-up (paper: none)"
    )
    verified: bool = Field(
        False, description="keep only labels on which the tool-verified answers of the current executor agree as well"
    )
    ties: bool = Field(
        True, description="keep tasks whose majority is tied with another answer; false: they teach nothing"
    )
    own_answer: bool = Field(False, description="keep only tasks whose writer's own answer is the majority's")
    rule: DottedPath | None = Field(
        None, description="a function of one's own that has the last word on a task (docs/own-idea.md)"
    )

    def limits(self) -> Limits:
        """The checks that a kept task passes."""
        return replace(super().limits(), own_answer=self.own_answer)

    def bounds(self, iteration: int) -> tuple[float, float]:
        """The smallest and the largest p_hat that an iteration keeps."""
        return at_iteration(self.lower, iteration), at_iteration(self.upper, iteration)


class SolverSection(LearnerSection):
    train: bool = Field(True, description="train the executor; false leaves the base model as it is")
    steps: StepsPerIteration = Field(10, description="rollout batches of one iteration")
    tasks: int = Field(32, ge=1, description="kept tasks in one rollout batch")
    group_size: int = Field(8, ge=2, description="answers per task (paper: G = 16)")
    kl: float = Field(0.0, ge=0, description="coefficient of the KL term to the iteration's first executor")
    replay: float = Field(
        0.0, ge=0, lt=1, description="share of a batch that comes from the pools of earlier iterations"
    )
    labels: Literal["votes", "truth"] = Field(
        "votes",
        description="labels of the kept tasks: what the votes say; truth is for rows of a study alone, which measure "
        "what labels by vote cost (coevolve study oracle-gap)",
    )
    relabel: bool = Field(
        False, description="count the answers of a rollout batch as votes too, so that a label may change in training"
    )
    entropy_floor: float = Field(
        0.0,
        ge=0,
        description="while the answers have less entropy (nats per token), only those that miss the label teach",
    )


class AdpoSection(Section):
    scale_floor: float = Field(0.6, gt=0, le=1.0, description="advantage scale of the most ambiguous tasks")
    clip_extra: float = Field(0.1, ge=0, description="widening of the upper clip bound of the most ambiguous tasks")
    lower: Probability = Field(0.3, description="p_hat at and below which a task is most ambiguous")
    upper: Probability = Field(0.8, description="p_hat at and above which a task is confident")


class CoevolutionConfig(Config):
    """The shared keys, and those of a proposer and a solver that raise each other."""

    objective: Literal["adpo", "grpo"] | DottedPath = Field(
        "adpo", description="how much a task teaches the solver; or a function of one's own (docs/own-idea.md)"
    )
    reward: RewardSection = RewardSection()
    proposer: ProposerSection = ProposerSection()
    pool: PoolSection = PoolSection()
    gate: GateSection = GateSection()
    solver: SolverSection = SolverSection()
    adpo: AdpoSection = AdpoSection()

    @property
    def has_reference(self) -> bool:
        """Whether an agent has a KL term."""
        return max(self.proposer.kl, self.solver.kl) > 0

    @property
    def oracle(self) -> bool:
        """Whether the solver learns from true labels."""
        return self.solver.labels == "truth"

    @property
    def has_probe(self) -> bool:
        """Whether new solvers are held against the best so far on fixed tasks."""
        return self.solver.train and self.health.probe > 0

    @property
    def setup(self) -> Setup:
        """What a first look at the model depends on, without what its prompts say of themselves."""
        sampling, tool = self.sampling, self.has_tool(SOLVER)

        def heat(agent: str) -> Heat:
            own = {PROPOSER: sampling.proposer, SOLVER: sampling.solver}[agent].temperature
            return f"sampling.{agent}.temperature" if own else "sampling.temperature", sampling.of(agent).temperature

        return Setup(
            world=self.world,
            texts=self.health.trial,
            seed=self.seed,
            turns=self.dialogue.turns,
            method=self.method,
            prompts=self.model.prompts if self.world == "open" else "",
            tool=tool,
            paid=tool and self.reward.lambda_tool > 0 and self.proposer.train,
            own_answer=self.proposer.own_answer,
            max_tokens=sampling.max_tokens,
            question_tokens=sampling.question_tokens,
            max_turns=self.tool.max_turns,
            at_fence=self.tool.call_at == "fence",
            echo=self.tool.echo == "last",
            refuses_errors=self.grading.refuse_errors,
            refuses_unevaluated=self.grading.refuse_unevaluated,
            proposer_heat=heat(PROPOSER),
            solver_heat=heat(SOLVER),
        )

    def origin(self, iteration: int) -> Origin:
        """Of the tasks that the proposer of an iteration writes."""
        return Origin(self.method, PROPOSER, iteration)

    def has_tool(self, agent: str) -> bool:
        """The solver by ``tool.enabled``, the proposer by ``proposer.tool``."""
        return self.proposer.tool if agent == PROPOSER else super().has_tool(agent)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.world == "games":
            raise ValueError("in world games nobody writes or answers questions: coevolve run spiral")
        for t in range(1, self.iterations + 1):
            lower, upper = self.gate.bounds(t)
            if lower > upper:
                raise ValueError("gate.lower is above gate.upper: no task could ever be kept")
        if self.adpo.lower >= self.adpo.upper:
            raise ValueError("adpo.lower must be below adpo.upper")
        if self.reward.malformed < 0 and self.reward.clip_at_zero:
            raise ValueError("reward.malformed is below 0, but reward.clip_at_zero allows no reward below 0")
        if self.pool.stop > 0 and not self.gate.enabled:
            raise ValueError("pool.stop leaves out votes on tasks that miss the gate, but gate.enabled is false")
        if self.proposer.vocabulary_mask and self.engine.sampler == "vllm":
            raise ValueError("proposer.vocabulary_mask needs our own sampler (engine.sampler: local), not vllm")
        if self.proposer.vocabulary_mask and self.engine.backend == "tinker":
            raise ValueError("proposer.vocabulary_mask needs our own sampler (engine.backend: local), not a server's")
        if self.proposer.tool and not self.tool.enabled:
            raise ValueError("proposer.tool is true, but tool.enabled is false: there is no tool")
        if self.oracle and (self.solver.relabel or not self.solver.train):
            raise ValueError("solver.labels is truth: solver.relabel must be false and solver.train true")
        _check_batches(self.proposer, self.solver)
        _check_checks("gate", self.gate, self.pool.votes, tool=self.tool.enabled)
        _check_checks("reward", self.reward, self.proposer.votes, tool=self.tool.enabled)
        for name, section in (("proposer", self.proposer), ("solver", self.solver)):
            if section.micro_batch and section.loss != "token":
                raise ValueError(f"{name}.micro_batch divides a mean over tokens, but {name}.loss is {section.loss}")
        return self


def _check_batches(proposer: ProposerSection, solver: SolverSection) -> None:
    if proposer.questions % proposer.group_size:
        raise ValueError("proposer.questions must be a multiple of proposer.group_size")
    if proposer.minibatches > proposer.questions:
        raise ValueError("proposer.minibatches is larger than proposer.questions")
    if solver.minibatches > solver.tasks * solver.group_size:
        raise ValueError("solver.minibatches is larger than solver.tasks * solver.group_size")


# What the keys that look at the solver's programs are where it has none.
WITHOUT_PROGRAMS: Mapping[str, object] = {
    "gate.output": False, "gate.programs": 0, "gate.numbers": 0.0, "reward.output": False, "reward.programs": 0,
    "reward.numbers": 0.0, "reward.lambda_code": 0.0,
}  # fmt: skip


def _check_checks(name: str, section: ChecksSection, votes: int, *, tool: bool) -> None:
    keys = [key.removeprefix(f"{name}.") for key in WITHOUT_PROGRAMS if key.startswith(f"{name}.")]
    asked = [key for key in keys if getattr(section, key)]
    if asked and not tool:
        raise ValueError(f"{name}.{asked[0]} looks at the solver's programs, but tool.enabled is false: there are none")
    if section.programs > votes:
        what = f"{name}.programs asks for {section.programs} programs of different shape, but a question"
        raise ValueError(f"{what} has {votes} answers ({'pool' if name == 'gate' else 'proposer'}.votes)")


CoevolutionState = State[CoevolutionConfig]
