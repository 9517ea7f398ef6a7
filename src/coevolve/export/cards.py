"""What the cards of exported models and data sets share.

Nothing that a model wrote stands in a card, so no text of a task can change what a card says or how it is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import yaml

import coevolve
from coevolve.config import Config
from coevolve.methods.registry import method_named

if TYPE_CHECKING:
    from huggingface_hub import CardData


def card(header: CardData, parts: Sequence[str]) -> str:
    """README.md: YAML that hubs read, and a page for people."""
    body = "\n\n".join(parts).replace("\n\n- ", "\n- ")
    return f"---\n{header.to_yaml()}\n---\n\n{body}\n"


def title(config: Config) -> str:
    """What people call the method of a run."""
    paper = method_named(config.method).paper
    return paper.title if paper else inline(config.method)


def cited(config: Config) -> str:
    """The same with a link to its paper, where it has one."""
    paper = method_named(config.method).paper
    return f"[{paper.title}](https://arxiv.org/abs/{paper.arxiv})" if paper else inline(config.method)


def made_by(config: Config) -> str:
    """What made it."""
    return f"coevolve {coevolve.__version__} (preset `{inline(config.preset)}`, seed {config.seed})"


def shown(config: Config) -> str:
    """The configuration without what speaks of the machine: folders, addresses, trackers."""
    content = config.model_dump()
    content.pop("run")
    content.pop("track")
    content["model"].pop("path")
    for key in ("url", "environment"):
        content["sandbox"].pop(key)
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
