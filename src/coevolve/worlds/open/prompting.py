"""Prompt files: what the agents of the open world are told, shown as worked examples, and made to begin with.

``model.prompts`` names one that comes with the package (``prompts/*.yaml`` beside this module) or a file of one's own.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from coevolve.config.keys import nearest, unknown
from coevolve.config.loading import parse_yaml
from coevolve.config.resources import is_prompt_file
from coevolve.config.section import Section
from coevolve.errors import ConfigError
from coevolve.grading.extract import last_boxed

OPEN_QUESTION, CLOSE_QUESTION = "<question>", "</question>"
QUESTION, TOPIC, LEVEL = "{question}", "{topic}", "{level}"  # what a task may hold


class Example(Section):
    """A worked example: a turn of the user and the whole answer to it, with what the loop appends to such an answer."""

    user: str
    assistant: str


class AgentPrompts(Section):
    """The prompts of one agent."""

    system: str = ""  # a solver's may hold {programs}: what one program knows of another
    task: str = Field(min_length=1)  # the user's turn; a solver's holds {question}
    examples: list[Example] = Field(default_factory=list)
    opening: str = ""  # what the answer is made to begin with


class ProposerPrompts(AgentPrompts):
    """The prompts of the proposer; its task may hold {topic} and {level}."""

    topics: list[str] = Field(default_factory=list)
    levels: list[str] = Field(default_factory=list)
    openings: dict[str, list[str]] = Field(default_factory=dict)  # by topic: its questions begin with one of these


class PromptFile(Section):
    """What stands in a prompt file. ``solver`` speaks of the Python tool, ``solver_without_tool`` does not."""

    form: Literal["auto", "text"] = "auto"  # by the model's chat template where it has one, or always as plain text
    speakers: list[str] = Field(default=["User", "Assistant"], min_length=2, max_length=2)  # of plain text
    solver: AgentPrompts | None = None
    solver_without_tool: AgentPrompts | None = None
    proposer: ProposerPrompts
    refusal: str = ""  # what a solver may box where a question cannot be answered; empty: nothing of the kind

    def solver_with(self, *, tool: bool) -> AgentPrompts:
        """The prompts of a solver with the Python tool, or of one without it.

        Raises:
            ValueError: the file has none.
        """
        found = self.solver if tool else self.solver_without_tool
        if found is None:
            raise ValueError(f"there are no prompts for a solver {'with' if tool else 'without'} the tool")
        return found

    def solvers(self) -> list[AgentPrompts]:
        """Those that the file has: one or two."""
        return [one for one in (self.solver, self.solver_without_tool) if one is not None]


def packaged_prompts() -> list[str]:
    """The names of the prompt files that come with the package."""
    found = resources.files("coevolve.worlds.open").joinpath("prompts").iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in found if entry.name.endswith(".yaml"))


def prompt_file(name: str) -> PromptFile:
    """The prompts of ``model.prompts``.

    Raises:
        ConfigError: there is no such file, it cannot be read, or something in it is wrong; names file and key.
    """
    if is_prompt_file(name):
        return _read(Path(name))
    if name not in packaged_prompts():
        raise unknown("prompt file", name, packaged_prompts())
    return _packaged(name)


@cache
def _packaged(name: str) -> PromptFile:
    text = resources.files("coevolve.worlds.open").joinpath("prompts", f"{name}.yaml").read_text(encoding="utf-8")
    return parsed_prompts(text, f"prompts {name}")


def _read(path: Path) -> PromptFile:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"cannot read the prompt file: {reason}",
            where=str(path),
            fix=f"name a YAML file, or one of {', '.join(packaged_prompts())}: model.prompts",
        ) from error
    return parsed_prompts(text, str(path))


def parsed_prompts(text: str, source: str) -> PromptFile:
    """What stands in the text of a prompt file.

    Args:
        text: YAML.
        source: where it is from, for messages.

    Raises:
        ConfigError: it is no YAML, a key is missing or unknown, or a value cannot be used.
    """
    content = parse_yaml(text, source)
    if not isinstance(content, dict):
        raise ConfigError("a prompt file is a mapping of keys to values", where=source, fix="begin with: solver:")
    try:
        found = PromptFile.model_validate(content)
    except ValidationError as error:
        raise _explained(error, source) from error
    for key, what, fix in _faults(found):
        raise ConfigError(f"{key} {what}", where=source, fix=fix)
    return found


def _explained(error: ValidationError, source: str) -> ConfigError:
    # A mistyped key is missing too; the one that was written says what was meant.
    fault = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        known = _keys_at(fault["loc"][:-1])
        guess = nearest(str(fault["loc"][-1]), known)
        meant = ".".join([*map(str, fault["loc"][:-1]), guess or ""])
        hint = f" (did you mean {meant}?)" if guess else ""
        return ConfigError(f"unknown key {key}{hint}", where=source, fix=f"keys there: {', '.join(known)}")
    if fault["type"] == "missing":
        return ConfigError(f"the key {key} is missing", where=source, fix=f"write {key}")
    return ConfigError(f"{key}: {fault['msg'][:1].lower()}{fault['msg'][1:]}", where=source, fix=f"correct {key}")


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    if "examples" in place:
        return list(Example.model_fields)
    sections: dict[str, type[Section]] = {"proposer": ProposerPrompts}
    return list((sections.get(str(place[0]), AgentPrompts) if place else PromptFile).model_fields)


def _faults(file: PromptFile) -> list[tuple[str, str, str]]:
    """What cannot be used, as key, sentence and fix."""
    found: list[tuple[str, str, str]] = []
    if not file.solvers():
        found.append(("solver", "is missing, and so is solver_without_tool", "write one of them, or both"))
    if not all(name.strip() for name in file.speakers) or file.speakers[0] == file.speakers[1]:
        found.append(("speakers", "are not two different names", "speakers: [User, Assistant]"))
    for name in ("solver", "solver_without_tool", "proposer"):
        agent: AgentPrompts | None = getattr(file, name)
        if agent is not None:
            found += _faults_of(name, agent)
    for placeholder, values, key in ((TOPIC, file.proposer.topics, "topics"), (LEVEL, file.proposer.levels, "levels")):
        if (placeholder in file.proposer.task) != bool(values):
            what = f"and the {placeholder} of proposer.task: one is there without the other"
            found.append((f"proposer.{key}", what, f"a list proposer.{key} and {placeholder} in the task, or neither"))
        if len(set(values)) < len(values) or not all(value.strip() for value in values):
            found.append((f"proposer.{key}", "holds an empty entry, or one twice", "name each once"))
    for topic, openings in file.proposer.openings.items():
        if topic not in file.proposer.topics:
            found.append((f"proposer.openings.{topic}", "is the opening of no topic", "name it in proposer.topics"))
        elif not openings or not all(opening.strip() for opening in openings):
            found.append((f"proposer.openings.{topic}", "is empty", "write one beginning of a question, or several"))
    return found


def _faults_of(name: str, agent: AgentPrompts) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    writes = name == "proposer"
    if not writes and QUESTION not in agent.task:
        found.append((f"{name}.task", f"does not hold {QUESTION}", f'{name}.task: "{QUESTION}"'))
    for number, example in enumerate(agent.examples):
        key = f"{name}.examples.{number}.assistant"
        if not example.assistant.startswith(agent.opening):
            what = "does not begin with the opening, as every answer will"
            found.append((key, what, f"begin it with {agent.opening!r}"))
        if last_boxed(example.assistant) is None:
            found.append((key, "holds no answer in \\boxed{}", "write its answer as \\boxed{...} on its last line"))
        if writes and not _holds_a_question(example.assistant):
            what = f"holds no problem between {OPEN_QUESTION} and {CLOSE_QUESTION}"
            found.append((key, what, f"{OPEN_QUESTION}What is 3 + 4?{CLOSE_QUESTION} and its box on the next line"))
    return found


def _holds_a_question(text: str) -> bool:
    return bool(asked_in(text))


def asked_in(text: str) -> str:
    """The last problem in a proposer's text; empty where there is none."""
    before, found, _ = text.rpartition(CLOSE_QUESTION)
    return before.rpartition(OPEN_QUESTION)[2].strip() if found and OPEN_QUESTION in before else ""


def worked_questions(file: PromptFile, *, tool: bool) -> dict[str, str]:
    """The problems of the worked examples that a run shows to its agents, by the key at which they stand.

    Args:
        file: the prompts.
        tool: whether the solver has the tool.
    """
    name = "solver" if tool else "solver_without_tool"
    solver: AgentPrompts | None = getattr(file, name)
    shown = {f"{name}.examples.{n}": example.user for n, example in enumerate(solver.examples if solver else ())}
    written = {f"proposer.examples.{n}": asked_in(x.assistant) for n, x in enumerate(file.proposer.examples)}
    return shown | written


def as_settings(file: PromptFile) -> dict[str, Any]:
    """What the file says besides the defaults, for hashes."""
    return file.model_dump(exclude_defaults=True)
