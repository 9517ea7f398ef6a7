"""Who answers: of a run, or a model under settings of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from coevolve.engine.base import Folder
from coevolve.errors import ConfigError, ModelError, RunError
from coevolve.runs.answerer import Readability, is_run, of_model, of_run
from coevolve.suites.base import task_of
from coevolve.worlds.open.stand_in.build import StandIn, build_stand_in


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "random"
    build_stand_in(path, StandIn("qwen3-4b", 1, 64, 2000, False, "float32", 0))
    return path


def test_a_run_answers_with_its_newest_agent_or_the_one_that_is_named(finished: Path) -> None:
    newest, first, base = (of_run(finished, n) for n in (None, 1, 0))
    assert newest.policy.source == Folder(finished / "checkpoints/iteration-2/solver")
    assert first.policy.source == Folder(finished / "checkpoints/iteration-1/solver")
    assert base.policy.source == Folder(base.base)
    assert (newest.name, newest.iteration) == (f"{finished}@2", 2)
    with pytest.raises(RunError, match=r"no agent of iteration 3(.|\n)*one of 0, 1, 2"):
        of_run(finished, 3)


def test_keys_of_acting_can_be_set_and_others_are_refused(finished: Path) -> None:
    answerer = of_run(finished, overrides=["sampling.temperature=0.5", "engine.workers=1"])
    assert answerer.drawn.temperature == 0.5
    for key in ("iterations=3", "solver.steps=2", "sampling.labels.temperature=0.5", "model.path=x"):
        with pytest.raises(ConfigError, match="does not decide how a model answers"):
            of_run(finished, overrides=[key])


def test_a_temperature_that_another_key_overrules_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sampling\.solver\.temperature = 0\.7 holds"):
        of_model("miniature", overrides=["sampling.temperature=0.5", "sampling.solver.temperature=0.7"])


def test_the_embedded_model_has_its_own_world() -> None:
    answerer = of_model("miniature")
    assert (answerer.config.world, answerer.name, answerer.iteration) == ("miniature", "miniature", None)
    assert of_model("miniature-early").base != answerer.base


def test_a_real_model_has_the_prompts_that_were_asked_for(random_model: Path) -> None:
    with_tool = of_model(str(random_model))
    assert with_tool.config.tool.enabled
    assert "Python" in with_tool.prompt(task_of("mine", "1", "How much is 1 + 1?"))
    assert with_tool.name == "random"
    without = of_model(str(random_model), tool=False)
    assert (without.config.tool.enabled, without.config.model.prompts) == (False, "r-zero")
    plain = of_model(str(random_model), prompts="plain")
    assert plain.prompt(task_of("mine", "1", "How much?")).startswith("Question: How much?")
    with pytest.raises(ConfigError, match="--no-tool"):
        of_model(str(random_model), prompts="agent0", tool=False)


def test_the_tool_can_be_taken_from_a_preset_whose_gate_looks_at_programs(random_model: Path) -> None:
    for asked in ({"prompts": "school", "tool": False}, {"prompts": "plain"}):
        answerer = of_model(str(random_model), preset="smollm2", **asked)  # type: ignore[arg-type]
        assert not answerer.config.tool.enabled
        assert answerer.prompt(task_of("mine", "1", "How much?"))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a run nor a model"):
        of_model("no-such-thing")
    with pytest.raises(ModelError, match=r"config\.json"):
        of_model(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="adapter"):
        of_model(str(tmp_path))
    assert not is_run(tmp_path)


def test_questions_that_a_model_cannot_read_are_named(random_model: Path) -> None:
    miniature, real = Readability(of_model("miniature")), Readability(of_model(str(random_model)))
    miniature.require(task_of("mine", "1", "Let a = 43 * 80. Find a."))
    with pytest.raises(ConfigError, match=r"cannot read the question from(.|\n)*mine\.jsonl, line 3"):
        miniature.require(task_of("mine", "1", "Wie viel ist 1 + 1?"), "mine.jsonl, line 3")
    with pytest.raises(ConfigError, match="empty"):
        real.require(task_of("mine", "1", " "))
    with pytest.raises(ConfigError, match="name of a special token"):
        real.require(task_of("mine", "1", "What follows <|endoftext|>?"))


def test_questions_without_room_for_an_answer_are_named() -> None:
    long = " ".join(["Let a = 43 * 80."] * 40)
    with pytest.raises(ConfigError, match=r"too long: its prompt has \d+ tokens(.|\n)*sampling\.max_tokens="):
        Readability(of_model("miniature")).require(task_of("mine", "1", f"{long} Find a."), "mine.jsonl, line 3")
    with pytest.raises(ConfigError, match="ask a shorter one, as the world does: Let a = 43"):
        Readability(of_model("miniature")).require(task_of("mine", "1", f"{long} Find a."))
