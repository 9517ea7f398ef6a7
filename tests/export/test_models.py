"""Exported agents load with transformers alone and answer as the run's own executor does; their cards are read."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from coevolve.export.cards import shown
from coevolve.export.folders import Exported, export
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.registry import load_config
from coevolve.monitor.summary import summarise
from coevolve.runs.ask import solve


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(finished, tmp_path_factory.mktemp("export") / "out", ["models"])


def code_of(card: Path) -> str:
    """The example that the card shows."""
    found = re.search(r"^(`{3,})python\n(.*?)\n\1$", card.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found
    return found[2]


def run_example(folder: Path) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code_of(folder / "README.md").replace("FOLDER-OR-NAME", str(folder)), {})
    return printed.getvalue()


def test_the_example_on_the_executors_card_writes_what_the_runs_executor_writes(
    exported: Exported, finished: Path
) -> None:
    written = run_example(exported.folders["solver"]).removesuffix("\n")
    question = re.search(r"<question>(.*?)</question>", code_of(exported.folders["solver"] / "README.md"))
    assert question
    answer = solve(finished, question[1]).text
    expected = answer.partition("```output")
    assert written.removesuffix("<|endoftext|>") == expected[0] + expected[1]


def test_the_example_on_the_curriculum_agents_card_writes_a_question(exported: Exported) -> None:
    assert run_example(exported.folders["proposer"]).strip()


def test_a_folder_holds_the_checkpoint_and_nothing_that_only_training_needs(exported: Exported, finished: Path) -> None:
    assert exported.iteration == 2
    for role in ("solver", "proposer"):
        source, folder = finished / f"checkpoints/iteration-2/{role}", exported.folders[role]
        assert {file.name for file in folder.iterdir()} == {
            *(file.name for file in source.iterdir() if file.name != "optimizer.pt"),
            "README.md",
        }
        for file in source.glob("*.safetensors"):
            assert (folder / file.name).read_bytes() == file.read_bytes()


def test_the_hubs_own_reader_finds_licence_library_and_numbers(exported: Exported, finished: Path) -> None:
    card = ModelCard.load(exported.folders["solver"] / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "transformers"
    assert {"coevolve", "agent0"} <= set(card.data.tags)
    held_out = summarise(finished)["iterations"][2]["held_out"]  # type: ignore[index]
    found = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert found == {
        f"mean@{held_out['k']}": held_out["mean_at_8"],
        f"maj@{held_out['k']}": held_out["maj_at_8"],
        "greedy": held_out["greedy"],
    }
    low, high = (f"{100 * bound:.1f}" for bound in held_out["ci95"])
    assert f"| {low} to {high} |" in card.text
    assert ModelCard.load(exported.folders["proposer"] / "README.md").data.license == "apache-2.0"


def test_the_configuration_on_a_card_is_the_runs_without_what_speaks_of_the_machine(
    exported: Exported, finished: Path
) -> None:
    text = (exported.folders["solver"] / "README.md").read_text(encoding="utf-8")
    assert str(finished) not in text
    found = re.search(r"```yaml\n(.*?)\n```", text, re.DOTALL)
    assert found
    shown = yaml.safe_load(found[1])
    config = yaml.safe_load((finished / "config.yaml").read_text())
    assert shown["reward"] == config["reward"]
    assert CoevolutionConfig.model_validate(shown).solver == CoevolutionConfig.model_validate(config).solver
    assert "run" not in shown


def test_the_licence_of_another_base_model_is_the_one_that_its_card_states(
    finished: Path, tmp_path: Path, make_run
) -> None:  # type: ignore[no-untyped-def]
    base = tmp_path / "my-base"
    base.mkdir()
    (base / "LICENSE").write_text("The terms.")
    config = CoevolutionConfig(iterations=2).model_copy(
        update={"model": CoevolutionConfig().model.model_copy(update={"path": str(base)})}
    )
    run = make_run("unknown", "curriculum", "executor", config=config)
    silent = export(run, tmp_path / "silent", ["models"]).folders["solver"]
    assert ModelCard.load(silent / "README.md").data.license is None
    assert "states none" in (silent / "README.md").read_text()
    assert (silent / "LICENSE").read_text() == "The terms."
    (base / "README.md").write_text("---\nlicense: other\nlicense_name: my-terms\nlicense_link: LICENSE\n---\nHello.\n")
    stating = ModelCard.load(export(run, tmp_path / "stating", ["models"]).folders["solver"] / "README.md")
    assert (stating.data.license, stating.data.license_name) == ("other", "my-terms")
    assert "my-base" in stating.text
    assert str(tmp_path) not in stating.text


@pytest.mark.parametrize("agent", ["solver", "proposer"])
def test_a_card_says_what_its_own_method_and_configuration_say(make_run, tmp_path: Path, agent: str) -> None:  # type: ignore[no-untyped-def]
    cards = {}
    for method, sets in (("agent0", []), ("agent0", ["tool.enabled=false"]), ("r-zero", [])):
        name = f"{method}{len(sets)}"
        config = load_config("nano" if method == "agent0" else None, None, sets, method=method)
        run = make_run(name, "curriculum", "executor", config=config)
        cards[name] = (export(run, tmp_path / f"out-{name}", ["models"]).folders[agent] / "README.md").read_text()
    page = {name: text.partition("## Configuration")[0] for name, text in cards.items()}
    assert "[Agent0](https://arxiv.org/abs/2511.16043)" in page["agent00"]
    assert {"solver": "*executor*", "proposer": "*curriculum agent*"}[agent] in page["agent00"]
    assert "[R-Zero](https://arxiv.org/abs/2508.05004)" in page["r-zero0"]
    assert {"solver": "*solver*", "proposer": "*challenger*"}[agent] in page["r-zero0"]
    for word in (
        "Agent0",
        "2511.16043",
        "executor",
        "curriculum agent",
        "tool-use",
        "the tool",
        "Python tool",
        "sandbox",
    ):
        assert word not in page["r-zero0"], word
    for word in ("tool-use", "need the tool", "Python tool", "sandbox"):
        assert word not in page["agent01"], word


def test_the_card_of_another_method_does_not_name_agent0() -> None:
    for name in ("r-zero", "r-zero-code"):
        assert "agent0" not in shown(load_config(name).model_dump()).lower()
    of_open = shown(load_config("r-zero-qwen3-4b-paper").model_dump())
    assert "prompts: r-zero" in of_open
    assert "agent0" not in of_open.lower()
