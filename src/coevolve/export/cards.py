"""What the cards of exported models and data sets share.

Nothing that a model wrote stands in a card, so no text of a task can change what a card says or how it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import coevolve
from coevolve.config.resources import is_prompt_file
from coevolve.methods.base import Paper
from coevolve.methods.reporting import Summary
from coevolve.types import AgentSpec

if TYPE_CHECKING:
    from huggingface_hub import CardData


def card(header: CardData, parts: Sequence[str]) -> str:
    """README.md: YAML that hubs read, and a page for people."""
    body = "\n\n".join(parts).replace("\n\n- ", "\n- ")
    return f"---\n{header.to_yaml()}\n---\n\n{body}\n"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the cards of a run say of it.

    Args:
        method, world, preset: their names.
        paper: of the method, where it has one.
        agents: of the method.
        answerer: the agent that answers.
        tool: whether it has the Python tool.
        taught_by: what it had beside its base model, as the end of a phrase.
        settings: the configuration, as :func:`shown` writes it.
        summary: what :func:`coevolve.monitor.summary.summarise` says of the run.
    """

    method: str
    world: str
    preset: str
    seed: int
    paper: Paper | None
    agents: Sequence[AgentSpec]
    answerer: str
    tool: bool
    taught_by: str
    settings: str
    summary: Summary

    @property
    def title(self) -> str:
        """What people call the method."""
        return self.paper.title if self.paper else inline(self.method)

    @property
    def cited(self) -> str:
        """The same with a link to its paper, where it has one."""
        return f"[{self.title}](https://arxiv.org/abs/{self.paper.arxiv})" if self.paper else self.title

    @property
    def made_by(self) -> str:
        """What made it."""
        return f"coevolve {coevolve.__version__} (preset `{inline(self.preset)}`, seed {self.seed})"

    @property
    def answerer_label(self) -> str:
        """What the method calls the agent that answers."""
        return next(agent.label for agent in self.agents if agent.id == self.answerer)

    def tags(self, *more: str) -> list[str]:
        """For the search of hubs."""
        return ["coevolve", self.method, "self-play", *more, *(["tool-use"] if self.tool else [])]


def shown(values: Mapping[str, Any]) -> str:
    """A configuration without what speaks of the machine: folders (of a prompt file too), addresses, trackers.

    Nor with ``model.prompts`` where the world has prompts of its own: its default names another method.
    """
    content = {key: dict(part) if isinstance(part, Mapping) else part for key, part in values.items()}
    del content["run"], content["track"], content["model"]["path"]
    del content["sandbox"]["url"], content["sandbox"]["environment"]
    if content["world"] != "open":
        del content["model"]["prompts"]
    elif is_prompt_file(content["model"]["prompts"]):
        content["model"]["prompts"] = Path(content["model"]["prompts"]).name
    return fenced("yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True).strip())


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def fenced(language: str, text: str) -> str:
    """A code block whose fence is longer than any row of backticks in the text."""
    longest = max((len(row) for row in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def inline(text: str) -> str:
    """A name of the user's on one line, without what would end a code span."""
    return " ".join(text.split()).replace("`", "'")
