"""The folder of one agent: a checkpoint without what only training needs, and its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from coevolve.config.resources import ModelSection
from coevolve.engine.base import ADAPTER_CONFIG, ADAPTER_FILE
from coevolve.engine.hub import is_made_here, is_model_name
from coevolve.export import cards
from coevolve.methods.reporting import at, iterations
from coevolve.types import PROPOSER, AgentSpec
from coevolve.worlds.base import SUITES, Contract, PromptContext

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_LICENCE = ("license", "license_name", "license_link")

_PARTS = {".json", ".safetensors", ".txt", ".model", ".jinja"}  # the optimiser's state is no part of a model
_UNTESTED = "Nobody has tested it for safety, bias or facts; it is for research."
_ON_BASE = (
    "The folder holds an adapter: LoRA matrices that are added to those of the base model, which is needed too. "
    "`coevolve export RUN --to DIR --merge` writes both as one model."
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What the folders of a run's agents are made from, besides their checkpoints.

    Args:
        run: for the cards.
        contract: prompts of the world.
        example: a question of the world.
        base: folder of the base model.
        model: the section that names it.
        lora: the agents are adapters.
        calls: strings in an answer where a tool result is due.
    """

    run: cards.RunFacts
    contract: Contract
    example: str
    base: Path
    model: ModelSection
    lora: bool
    calls: tuple[str, ...] = ()

    @property
    def base_name(self) -> str:
        """A folder or a file by its name, a model of a hub or a package as it is; empty for the world's own."""
        given = self.model.path or ""
        is_name = is_model_name(given) and not Path(given).expanduser().exists()
        return given if is_name else Path(given).name

    @property
    def is_made_here(self) -> bool:
        """Whether the base model is a folder of our cache, made of a GGUF file."""
        return self.model.path is not None and is_made_here(self.model.path)


def write_model(path: Path, source: Path, origin: Origin, agent: AgentSpec, iteration: int, *, merge: bool) -> None:
    """Fill a new folder with an agent's weights, tokenizer and card.

    Args:
        path: the folder to make.
        source: the checkpoint, checked against its hashes.
        origin: what all agents of the run share.
        agent: which agent.
        iteration: after which iteration.
        merge: write an adapter and its base model as one model.

    Raises:
        OSError: the disk refuses.
        CoevolveError: the base model cannot be used, to merge.
    """
    path.mkdir(parents=True)
    base = origin.base
    for file in sorted(source.iterdir()):
        if file.suffix in _PARTS and not (merge and file.name in (ADAPTER_FILE, ADAPTER_CONFIG)):
            shutil.copyfile(file, path / file.name)
    if merge:
        from coevolve.engine.local.lora import merge_adapter

        merge_adapter(base, source, path, dtype=origin.model.dtype)
    elif origin.lora:
        settings = json.loads((path / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        settings["base_model_name_or_path"] = origin.base_name or None  # no folder of this machine
        (path / ADAPTER_CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    for file in sorted(base.glob("LICEN[CS]E*")):
        shutil.copyfile(file, path / file.name)
    text = model_card(origin, agent, iteration, stated=_stated(base), adapter=origin.lora and not merge)
    (path / "README.md").write_text(text, encoding="utf-8")


def _stated(base: Path) -> dict[str, str]:
    """What the base model's card states of its licence and, where it is another's copy, of its own base model."""
    from huggingface_hub import ModelCard  # brings httpx along

    file = base / "README.md"
    try:
        stated = ModelCard.load(file, ignore_metadata_errors=True).data if file.is_file() else {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return {key: str(value) for key in (*_LICENCE, "base_model") if (value := stated.get(key))}


def model_card(origin: Origin, agent: AgentSpec, iteration: int, *, stated: Mapping[str, str], adapter: bool) -> str:
    """README.md of an agent's folder.

    Args:
        origin: what all agents of the run share.
        agent: which agent.
        iteration: after which iteration.
        stated: what the base model's card says of its licence and origin.
        adapter: the folder holds LoRA matrices that need the base model.
    """
    from huggingface_hub import ModelCardData  # brings httpx along

    run, base = origin.run, origin.base_name
    answers = agent.id == run.answerer
    known = iterations(run.summary)[: iteration + 1]
    started = f"the base model `{cards.inline(base)}`" if base else f"the {run.world} base model of coevolve"
    licence: dict[str, Any] = {key: stated[key] for key in _LICENCE if key in stated}
    terms = licence.get("license_name") or licence.get("license")
    id = stated.get("base_model") if origin.is_made_here else base if "/" in base else None  # no folder's name
    header = ModelCardData(
        **licence,
        base_model=id if adapter else None,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=run.tags("reinforcement-learning"),
        model_name=f"{run.method}-{agent.id}",
        eval_results=(_results(run.world, known[-1]) if answers else None) or None,
    )
    number = "The agent" if len(run.agents) == 1 else f"One of {len(run.agents)} agents"
    parts = [
        f"# {run.title}: {agent.label} after iteration {iteration}",
        f"{number} that {run.cited} trains from {started}, {run.taught_by}: this one, the "
        f"*{agent.label}*, {agent.does} Made by {run.made_by}.",
        "## How to use it",
        *([_ON_BASE] if adapter else []),
        *([cards.fenced("python", code)] if (code := _example(origin, agent.id, adapter=adapter)) else []),
        *([agent.usage] if agent.usage else []),
        "## Numbers",
        _answerer_table(known) if answers else _pool_table(known, run.answerer_label),
        "## Licence",
        f"The base model's: {cards.inline(terms)}." if terms else "The base model states none; ask its makers.",
        "## Limits",
        *(f"- {limit}" for limit in (*agent.limits, _UNTESTED)),
        "## Configuration",
        run.settings,
    ]
    return cards.card(header, parts)


def _results(world: str, last: object) -> list[EvalResult]:
    """The held-out accuracy in the form that hubs show."""
    from huggingface_hub import EvalResult

    held_out = at(last, "held_out")
    k = at(held_out, "k")
    names = {"mean_at_8": f"mean@{k}", "maj_at_8": f"maj@{k}", "greedy": "greedy"}
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=f"coevolve-{world}",
            dataset_name=f"held-out problems of the {world} world",
            metric_type="accuracy",
            metric_name=name,
            metric_value=value,
        )
        for key, name in names.items()
        if isinstance(value := at(held_out, key), int | float)
    ]


def _answerer_table(known: Sequence[object]) -> str:
    on_suites = _suite_table(known)
    if not any(at(row, "held_out") for row in known):
        return on_suites or "None: the questions of its world have no known answers to hold it against."
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
    how = f"{n} held-out problems, {k} answers each at the sampling temperature; intervals over problems."
    return "\n\n".join([cards.table(headings, rows), how, *([on_suites] if on_suites else [])])


def _suite_table(known: Sequence[object]) -> str:
    """mean@k on the chosen suites, of the base model and of the last evaluation; empty where none was chosen."""
    measured = [suites for row in known if isinstance(suites := at(row, SUITES), Mapping)]
    if not measured:
        return ""
    first, last = measured[0], measured[-1]
    rows = [
        (
            name,
            str(at(found, "n")),
            str(at(found, "k")),
            _percent(at(first, name, "mean")),
            _percent(at(found, "mean")),
            _interval(at(found, "ci95")),
            _percent(at(found, "majority")),
            _percent(at(found, "greedy")),
        )
        for name, found in last.items()
    ]
    headings = ("suite", "problems", "k", "base, %", "mean@k, %", "95 % interval", "majority, %", "greedy, %")
    return f"{cards.table(headings, rows)}\n\nGraded by strict rules; intervals over problems."


def _pool_table(known: Sequence[object], answerer: str) -> str:
    rows = [
        (
            str(t),
            _percent(at(row, "pool", "well_formed")),
            _percent(at(row, "pool", "duplicates")),
            f"{at(row, 'pool', 'kept')} of {at(row, 'pool', 'size')}",
            _labels(row),
            _percent(at(row, "pool", "first_executor_pass_rate")),
            _decimals(at(row, "pool", "tool_calls")),
        )
        for t, row in enumerate(known)
        if at(row, "pool") is not None
    ]
    headings = (
        "iteration", "well formed, %", "duplicates, %", "kept for training", "labels right, %", f"first {answerer}, %",
        "tool calls",
    )  # fmt: skip
    how = (
        "Of the pool of each iteration. Labels: majority votes of the kept tasks that are true, of those whose true "
        "answer is known. "
        f"First {answerer}: how often the {answerer} of iteration 1 solves these tasks; it falls as they get harder."
    )
    return f"{cards.table(headings, rows)}\n\n{how}"


def _labels(row: object) -> str:
    """The share of right labels, and of how many it is where not all could be checked."""
    share, known = _percent(at(row, "pool", "label_accuracy_kept")), at(row, "pool", "label_known_kept")
    return share if known is None else f"{share} (of {known})"


def _example(origin: Origin, agent: str, *, adapter: bool) -> str:
    """Code that loads the folder and has it write; empty for an agent that the world has no prompt for."""
    contract = origin.contract
    if agent == origin.run.answerer:
        stops = [*origin.calls, *contract.stops(agent)]
        prompt, how = (
            contract.prompt(agent, PromptContext(origin.example)),
            f"do_sample=False, stop_strings={stops!r}",
        )
    elif agent == PROPOSER:
        prompt, how = contract.prompt(agent), f"do_sample=True, stop_strings={[*contract.stops(agent)]!r}"
    else:
        return ""
    imports = ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    load = ["model = AutoModelForCausalLM.from_pretrained(folder)"]
    if adapter:
        imports.insert(0, "from peft import PeftModel")
        named = repr(origin.base_name or "BASE-FOLDER")
        if origin.is_made_here:  # transformers would look for this name on the hub
            imports.insert(0, "from coevolve.engine.hub import fetch_model")
            named = f"fetch_model({named})"
        load = [
            f"base = AutoModelForCausalLM.from_pretrained({named})",
            "model = PeftModel.from_pretrained(base, folder)",
        ]
    lines = [
        *imports,
        'folder = "FOLDER-OR-NAME"',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        *load,
        f"prompt = {prompt!r}",
        'tokens = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids',
        f"written = model.generate(tokens, tokenizer=tokenizer, max_new_tokens=200, {how})",
        "print(tokenizer.decode(written[0, tokens.shape[1] :]))",
    ]
    return "\n".join(lines)


def _percent(share: object) -> str:
    return f"{100 * share:.1f}" if isinstance(share, int | float) else "–"


def _decimals(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "–"


def _interval(bounds: object) -> str:
    return f"{_percent(bounds[0])} to {_percent(bounds[1])}" if isinstance(bounds, list) and len(bounds) == 2 else "–"
