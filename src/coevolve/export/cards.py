"""The cards of exported folders: YAML that hubs read, and a page for people. Pure functions of a run's numbers.

Nothing that a model wrote stands in a card, so no text of a task can change what a card says or how it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import yaml

import coevolve
from coevolve.config import Config
from coevolve.config.keys import values_by_key
from coevolve.export.text import COLUMNS, CONFIGS, LIMITS, ON_BASE, USES
from coevolve.methods.reporting import Summary, at, iterations
from coevolve.types import PROPOSER, SOLVER, Origin, Task
from coevolve.worlds.base import PromptContext
from coevolve.worlds.registry import open_world, world_named

Licence = Mapping[str, str]  # license, license_name, license_link: those that the base model's card states
_PAPER = "[Agent0](https://arxiv.org/abs/2511.16043)"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True, slots=True)
class Split:
    """One file of a data set."""

    config: str
    split: str
    file: str  # relative to the data set's folder
    columns: Mapping[str, pa.DataType]
    examples: int
    size: int  # bytes of the values in memory


def model_card(
    config: Config, summary: Summary, agent: str, iteration: int, *, base: str, licence: Licence, adapter: bool
) -> str:
    """README.md of an agent's folder.

    Args:
        config: configuration of the run.
        summary: what ``summarise`` says of it.
        agent: which agent.
        iteration: after which iteration.
        base: name of the base model's folder; empty for the embedded one.
        licence: what the base model's card states.
        adapter: the folder holds LoRA matrices that need the base model.
    """
    known = iterations(summary)[: iteration + 1]
    title = "executor" if agent == SOLVER else "curriculum agent"
    started = f"the base model `{_inline(base)}`" if base else f"the {config.world} base model of coevolve"
    stated = licence.get("license_name") or licence.get("license")
    tags = ["coevolve", config.method, "self-play", "reinforcement-learning", "tool-use"]
    header: dict[str, object] = {
        **licence,
        **({"base_model": base} if adapter and "/" in base else {}),  # an id, not a folder's name
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": tags,
    }
    if agent == SOLVER and (results := _results(config, summary, iteration)):
        header["model-index"] = results
    parts = [
        f"# {config.method}: {title} after iteration {iteration}",
        f"One of two agents that {_PAPER} trained against each other from {started}, without any data: "
        f"{USES[agent]} Made by coevolve {coevolve.__version__} (preset `{_inline(config.preset)}`, "
        f"seed {config.seed}, objective {values_by_key(config).get('objective')}).",
        "## How to use it",
        *([ON_BASE] if adapter else []),
        _fenced("python", _example(agent, config, base, adapter=adapter)),
        USES[f"after {agent}"],
        "## Numbers",
        _solver_table(known) if agent == SOLVER else _proposer_table(known),
        "## Licence",
        f"The base model's: {_inline(stated)}." if stated else "The base model's card states none; ask its makers.",
        "## Limits",
        *(f"- {limit}" for limit in LIMITS[agent]),
        "## Configuration",
        _fenced("yaml", _shown(config)),
    ]
    return _card(header, parts)


def dataset_card(config: Config, summary: Summary, splits: Sequence[Split]) -> str:
    """README.md of the data set: ``configs`` and ``dataset_info`` for loaders, the columns for people."""
    names = list(dict.fromkeys(split.config for split in splits))
    total = sum(split.examples for split in splits)
    header: dict[str, object] = {
        "pretty_name": f"{config.method} {config.preset}, seed {config.seed}: tasks and trajectories",
        "language": ["en"],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
        "size_categories": [next((size for limit, size in _SIZES if total < limit), "n>1M")],
        "task_categories": ["text-generation", "question-answering"],
        "tags": ["coevolve", config.method, "self-play", "synthetic", "tool-use"],
        "configs": [_config(name, [split for split in splits if split.config == name]) for name in names],
        "dataset_info": [_info(name, [split for split in splits if split.config == name]) for name in names],
    }
    parts = [
        f"# {config.method}: what two agents wrote while they trained each other",
        f"Made by coevolve {coevolve.__version__} in a run of {_PAPER} (preset `{_inline(config.preset)}`, seed "
        f"{config.seed}); status of the run: {summary['status']}. No person wrote or labelled anything here. The texts "
        "are what language models wrote, whatever it is: treat them as data, never as instructions, and run their code "
        "in a sandbox only.",
        _fenced(
            "python",
            f'from datasets import load_dataset\n\ntasks = load_dataset("FOLDER-OR-NAME", "{names[0]}", split="train")',
        ),
        "## Configurations",
        _table(
            ("configuration", "split", "rows", "a row is"),
            [(f"`{s.config}`", f"`{s.split}`", f"{s.examples:,}", CONFIGS[s.config, s.split]) for s in splits],
        ),
        CONFIGS["labels", ""],
        "**Licence:** none is stated here; whoever publishes the data decides, and looks at that of the base model.",
        *(part for name in names for part in _column_list(next(s for s in splits if s.config == name))),
        "## Configuration of the run",
        _fenced("yaml", _shown(config)),
    ]
    return _card(header, parts)


def _results(config: Config, summary: Summary, iteration: int) -> list[dict[str, object]]:
    """The executor's held-out accuracy in the form that hubs show."""
    held_out = at(iterations(summary)[iteration], "held_out")
    named = (
        ("mean_at_8", f"mean@{at(held_out, 'k')}"),
        ("maj_at_8", f"maj@{at(held_out, 'k')}"),
        ("greedy", "greedy"),
    )
    metrics = [
        {"type": "accuracy", "name": name, "value": value}
        for key, name in named
        if isinstance(value := at(held_out, key), int | float)
    ]
    if not metrics:
        return []
    dataset = {"name": f"held-out problems of the {config.world} world", "type": f"coevolve-{config.world}"}
    task = {"type": "text-generation"}
    return [{"name": f"{config.method}-solver", "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}]


def _solver_table(known: Sequence[object]) -> str:
    if not any(at(row, "held_out") for row in known):
        return "None: the questions of its world have no known answers to hold it against."
    rows = [
        (
            "base" if t == 0 else str(t),
            _percent(at(row, "held_out", "mean_at_8")),
            _interval(at(row, "held_out", "ci95")),
            _percent(at(row, "held_out", "maj_at_8")),
            _percent(at(row, "held_out", "greedy")),
            _decimals(at(row, "held_out", "tool_calls")),
        )
        for t, row in enumerate(known)
    ]
    headings = ("after iteration", "held out, %", "95 % interval", "majority, %", "greedy, %", "tool calls")
    n, k = (at(known[0], "held_out", key) for key in ("n", "k"))
    how = f"{n} held-out problems, {k} answers each at the sampling temperature; bootstrap over problems."
    return f"{_table(headings, rows)}\n\n{how}"


def _proposer_table(known: Sequence[object]) -> str:
    rows = [
        (
            str(t),
            _percent(at(row, "pool", "well_formed")),
            _percent(at(row, "pool", "duplicates")),
            f"{at(row, 'pool', 'kept')} of {at(row, 'pool', 'size')}",
            _percent(at(row, "pool", "label_accuracy_kept")),
            _percent(at(row, "pool", "first_executor_pass_rate")),
            _decimals(at(row, "pool", "tool_calls")),
        )
        for t, row in enumerate(known)
        if at(row, "pool") is not None
    ]
    headings = (
        "iteration", "well formed, %", "duplicates, %", "kept for training", "labels right, %", "first executor, %",
        "tool calls",
    )  # fmt: skip
    return (
        f"{_table(headings, rows)}\n\nOf the pool of each iteration. Labels: majority votes of the kept tasks that are "
        "true. First executor: how often the executor of iteration 1 solves these tasks; it falls as they get harder."
    )


def _example(agent: str, config: Config, base: str, *, adapter: bool) -> str:
    contract = open_world(config).contract
    if agent == SOLVER:
        task = Task("example", (world_named(config.world).example,), "example", Origin(config.method, PROPOSER, 0))
        prompt = contract.prompt(SOLVER, PromptContext(task.turns[0]))
        how = f"do_sample=False, stop_strings={['```output', *contract.stops(SOLVER)]!r}"
    else:
        prompt, how = contract.prompt(PROPOSER), f"do_sample=True, stop_strings={[*contract.stops(PROPOSER)]!r}"
    lines = ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    load = ["model = AutoModelForCausalLM.from_pretrained(folder)"]
    if adapter:
        lines.insert(0, "from peft import PeftModel")
        load = [f"base = AutoModelForCausalLM.from_pretrained({base or 'BASE-FOLDER'!r})"]
        load += ["model = PeftModel.from_pretrained(base, folder)"]
    lines += ['folder = "FOLDER-OR-NAME"', "tokenizer = AutoTokenizer.from_pretrained(folder)", *load]
    lines += [
        f"prompt = {prompt!r}",
        'tokens = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids',
    ]
    lines += [f"written = model.generate(tokens, tokenizer=tokenizer, max_new_tokens=200, {how})"]
    lines += ["print(tokenizer.decode(written[0, tokens.shape[1] :]))"]
    return "\n".join(lines)


def _shown(config: Config) -> str:
    """The configuration without what speaks of the machine: folders, addresses, trackers."""
    content = config.model_dump()
    content.pop("run")
    content.pop("track")
    content["model"].pop("path")
    for key in ("url", "environment"):
        content["sandbox"].pop(key)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).strip()


def _config(name: str, splits: Sequence[Split]) -> dict[str, object]:
    files = [{"split": split.split, "path": split.file} for split in splits]
    return {"config_name": name, "data_files": files} | ({"default": True} if name == "tasks" else {})


def _info(name: str, splits: Sequence[Split]) -> dict[str, object]:
    features = [{"name": column, **_feature(kind)} for column, kind in splits[0].columns.items()]
    sizes = [{"name": s.split, "num_bytes": s.size, "num_examples": s.examples} for s in splits]
    return {"config_name": name, "features": features, "splits": sizes, "dataset_size": sum(s.size for s in splits)}


def _feature(kind: pa.DataType) -> dict[str, object]:
    """A column's type as ``datasets`` writes it down."""
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return {"list": inner.get("dtype") or inner.get("struct") or inner}
    if pa.types.is_struct(kind):
        return {"struct": [{"name": field.name, **_feature(field.type)} for field in kind]}
    names = {pa.float64(): "float64", pa.float32(): "float32"}
    return {"dtype": names.get(kind, str(kind))}


def _column_list(split: Split) -> list[str]:
    rows = [(f"`{name}`", f"`{kind}`", COLUMNS.get(name, "")) for name, kind in split.columns.items()]
    return [f"### Columns of `{split.config}`", _table(("column", "type", "what it is"), rows)]


def _percent(share: object) -> str:
    return f"{100 * share:.1f}" if isinstance(share, int | float) else "–"


def _decimals(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "–"


def _interval(bounds: object) -> str:
    return f"{_percent(bounds[0])} to {_percent(bounds[1])}" if isinstance(bounds, list) and len(bounds) == 2 else "–"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _fenced(language: str, text: str) -> str:
    """A code block whose fence is longer than any row of backticks in the text."""
    longest = max((len(row) for row in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _inline(text: str) -> str:
    """A name of the user's on one line, without what would end a code span."""
    return " ".join(text.split()).replace("`", "'")


def _card(header: Mapping[str, object], parts: Sequence[str]) -> str:
    top = yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True, width=120)
    body = "\n\n".join(parts).replace("\n\n- ", "\n- ")
    return f"---\n{top}---\n\n{body}\n"
