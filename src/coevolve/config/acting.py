"""What an agent may do in one rollout: its tool, the sandbox behind it, its turns and how it is sampled."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from pydantic import Field, field_validator

from coevolve.config.resources import ModelSection
from coevolve.config.section import Section
from coevolve.types import PROPOSER, SOLVER


class ToolSection(Section):
    enabled: bool = Field(True, description="give the solver the Python tool")
    max_turns: int = Field(6, ge=1, description="turns with a tool call in one answer; 1 = the no-multi-turn ablation")
    state: Literal["stateless", "session"] = Field(
        "stateless",
        description="every code block runs in a fresh process, or all blocks of one answer share one and its variables",
    )
    call_at: Literal["output", "fence"] = Field(
        "output",
        description="when a program is run: as soon as the line ```output is written behind it, as in the paper, or "
        "as soon as its fence is closed; chat models do not write that line",
    )
    echo: Literal["none", "last"] = Field(
        "none",
        description="of a program that prints nothing, show the value of its last expression or of the name that it "
        "assigned last, as a notebook does (last); small models forget to print",
    )
    observation_tokens: int = Field(
        512,
        ge=32,
        description="tokens of one tool result that the solver is shown; the middle of a longer one is left out",
    )
    wait_steps: int = Field(
        4,
        ge=1,
        description="steps after which a tool result is due; fixed, so that equal seeds decode alike",
    )
    cache: int = Field(65536, ge=0, description="remembered results of identical snippets per worker; 0 = none")

    def said(self) -> dict[str, object]:
        """What decides what comes of a program. Keys that older runs did not have are left out at their defaults."""
        values = self.model_dump(exclude={"cache"})
        new = {"call_at": "output", "echo": "none"}
        return {key: value for key, value in values.items() if new.get(key) != value}


class DialogueSection(Section):
    """Tasks of several user turns: the executor answers each of them before it is shown the next."""

    turns: int = Field(1, ge=1, description="user turns that a task of the curriculum may have; 1 = plain questions")
    judged: Literal["last", "all"] = Field(
        "last", description="answers that vote and are rewarded: that to the last turn, or those to all turns together"
    )

    @property
    def turns_on_average(self) -> float:
        """Of a task, for plans: all numbers of turns that are allowed are taken to be equally frequent."""
        return (1 + self.turns) / 2


class SandboxSection(Section):
    backend: Literal["local", "remote"] = Field(
        "local", description="where snippets run: confined processes of each rollout worker, or a server"
    )
    url: str | Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description="address of the server (remote), such as http://127.0.0.1:8765; a list: snippets are shared out",
    )
    dialect: Literal["coevolve", "sandboxfusion"] = Field(
        "coevolve", description="what the server speaks: that of `coevolve sandbox serve`, or SandboxFusion's /run_code"
    )
    requests: int = Field(64, ge=1, description="snippets that each rollout worker has at a server at once (remote)")
    patience_s: float = Field(
        600.0, gt=0, description="seconds after which a snippet that no server has room for counts as lost (remote)"
    )
    unsafe: bool = Field(False, description="run with resource limits only when a required layer is missing")
    workers: int = Field(2, ge=1, description="snippets that run at once in each rollout worker (local)")
    cpu_s: float = Field(2.0, gt=0, description="CPU seconds of one snippet")
    wall_s: float = Field(8.0, gt=0, description="wall seconds of one snippet, without waiting for its turn or a core")
    memory_mb: int = Field(256, ge=16, description="address space of one snippet beyond the interpreter's own")
    output_bytes: int = Field(16384, ge=64, description="bytes of output after which a snippet is killed")
    session_idle_s: float = Field(
        600.0, gt=0, description="seconds after its last cell at which a session is lost (local; a server has its own)"
    )
    preload: list[str] = Field(default_factory=list, description="packages that snippets may import, loaded in advance")
    environment: str | None = Field(
        None,
        description="virtual environment or folder of packages that snippets may import from; "
        "default: one that is made of sandbox.preload and what that requires",
    )
    namespaces: Literal["auto", "off"] = Field(
        "auto",
        description="the walls that not every machine has: namespaces, which hide other files, processes and the "
        "network from snippets, and a control group, which bounds their memory together",
    )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of the servers, one or several; none where snippets run on this machine."""
        return (self.url,) if isinstance(self.url, str) else tuple(self.url or ())

    @field_validator("namespaces", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        """YAML reads a bare ``off`` as false."""
        return "off" if value is False else value


class DrawingSection(Section):
    """How the tokens of some texts are drawn; what is null is as in the wider section."""

    temperature: Annotated[float, Field(gt=0)] | None = Field(None, description="temperature")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="only the most probable tokens that together hold this share of the probability that top_k leaves; "
        "1 = all",
    )
    top_k: Annotated[int, Field(ge=0)] | None = Field(None, description="only so many most probable tokens; 0 = all")


@dataclass(frozen=True, slots=True)
class Distribution:
    """What the next token is drawn from: the model's probabilities at a temperature, of some tokens only, rescaled."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: of all tokens

    @property
    def truncated(self) -> bool:
        """Whether some tokens are left out."""
        return self.top_p < 1 or self.top_k > 0

    def within(self, section: DrawingSection) -> Distribution:
        """This one with what a section says otherwise."""
        return replace(self, **section.model_dump(exclude_none=True))


Use = Literal["votes", "labels", "pool"]  # of texts that nobody is trained on
_USES: tuple[tuple[Use, str], ...] = (("votes", SOLVER), ("labels", SOLVER), ("pool", PROPOSER))  # and who writes them


class SamplingSection(Section):
    """How texts are sampled. Keys of an agent go before those for both, keys of a use before those of its agent."""

    temperature: float = Field(1.0, gt=0, description="temperature of all rollouts that no key below says otherwise of")
    max_tokens: int = Field(200, ge=8, description="tokens of one solver trajectory, observations included")
    question_tokens: int = Field(128, ge=8, description="tokens of one written question")
    proposer: DrawingSection = Field(DrawingSection(), description="questions of the proposer (null: as for all texts)")
    solver: DrawingSection = Field(
        DrawingSection(), description="answers of the solver, also where it is measured (null: as for all)"
    )
    votes: DrawingSection = Field(
        DrawingSection(), description="answers that make the proposer's reward (null: the solver's)"
    )
    labels: DrawingSection = Field(DrawingSection(), description="answers that label the pool (null: the solver's)")
    pool: DrawingSection = Field(DrawingSection(), description="questions of the pool (null: the proposer's)")

    def of(self, agent: str, use: Use | None = None) -> Distribution:
        """What the tokens of an agent's texts are drawn from.

        Args:
            agent: the proposer, the solver, or one of another method, for which only the temperature of all is set.
            use: what the texts are for, where the agent is not trained on them.
        """
        out = Distribution(self.temperature)
        agents = {PROPOSER: self.proposer, SOLVER: self.solver}
        for section in (agents.get(agent), getattr(self, use) if use else None):
            out = out if section is None else out.within(section)
        return out

    def everywhere(self) -> dict[str, Distribution]:
        """All that tokens are drawn from, by the section of ``sampling`` that has the last word on it."""
        return {agent: self.of(agent) for agent in (PROPOSER, SOLVER)} | {
            use: self.of(agent, use) for use, agent in _USES
        }

    def said(self) -> dict[str, object]:
        """The keys that say something: those that stand as null in a section inside are left out."""
        return {name: value for name, value in self.model_dump(exclude_none=True).items() if value != {}}


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """What a world may know of the configuration.

    Args:
        name: of the world, or a dotted path.
        composing: the proposer has the tool while it writes.
        sandbox: where a world that is the judge itself runs programs.
    """

    name: str
    model: ModelSection
    dialogue: DialogueSection
    tool: ToolSection
    composing: bool
    sandbox: SandboxSection = field(hash=False)  # it holds lists
