"""Objects of one's own by dotted path: what loads, and that every fault names its key and the way out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coevolve.config.dotted import load_object
from coevolve.curriculum.gate import gate
from coevolve.curriculum.rewards import curriculum_reward
from coevolve.errors import ConfigError
from coevolve.methods.agent0 import Agent0
from coevolve.methods.config import CoevolutionConfig, RewardSection
from coevolve.methods.own import extra_terms, shape_of
from coevolve.methods.registry import load_config, method_named
from coevolve.types import Group, Origin, Task, Vote
from coevolve.worlds.miniature.learner import MiniatureWorld
from coevolve.worlds.registry import open_world, world_named

Write = Callable[[str], str]
TASK = Task("t", ("Let a = 1. Find a.",), "chain", Origin("m", "proposer", 1))


def voted(p_hat: float) -> Group:
    return Group(TASK, (), Vote("1", p_hat, 4, 4, (("1", round(4 * p_hat)),), False))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module into the current directory; its name is its own, because modules stay loaded."""
    monkeypatch.chdir(tmp_path)

    def to_module(text: str) -> str:
        name = f"own_{abs(hash((str(tmp_path), text)))}"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return name

    return to_module


def test_what_a_module_of_the_current_directory_defines_is_found(write: Write) -> None:
    name = write("def brevity(question, group, section):\n    return 1 / len(question)\n")
    assert load_object(f"{name}:brevity", "reward.extra")("abcd", None, None) == 0.25


@pytest.mark.parametrize(
    ("text", "asked", "what", "fix"),
    [
        (None, "no_such_module_at_all:f", "there is no module no_such_module_at_all", "PYTHONPATH"),
        ("brevity = len\n", "brevty", "has no brevty (did you mean brevity?)", "define it in"),
        ("brevity = 3\n", "brevity", "brevity is no function", "docs/own-"),
        ("import nowhere_to_be_found\n", "f", "cannot be imported: ModuleNotFoundError", ""),
        ("1 / 0\n", "f", "cannot be imported: ZeroDivisionError", ""),
    ],
)
def test_what_cannot_be_loaded_is_named_with_its_key(
    write: Write, text: str | None, asked: str, what: str, fix: str
) -> None:
    path = f"{write(text)}:{asked}" if text else asked
    with pytest.raises(ConfigError) as caught:
        load_config("nano", None, [f"reward.extra=[{path}]"])
    assert what in caught.value.what
    assert caught.value.where == f"reward.extra = {path}"
    assert fix in caught.value.fix


def test_a_class_that_is_no_method_or_world_says_what_it_lacks(write: Write) -> None:
    name = write("class Half:\n    answerer = 'solver'\n")
    with pytest.raises(ConfigError, match="Half lacks config, agents, phases"):
        load_config(method=f"{name}:Half")
    with pytest.raises(ConfigError, match="Half lacks base_model"):
        load_config("nano", None, [f"world={name}:Half"])


def test_names_that_are_no_paths_get_the_nearest_one(write: Write) -> None:
    for overrides, what in ((["world=minature"], "unknown world minature (did you mean miniature?)"),):
        with pytest.raises(ConfigError) as caught:
            load_config("nano", None, overrides)
        assert caught.value.what == what
    with pytest.raises(ConfigError) as caught:
        load_config("nano", None, ["gate.rule=no_path"])
    assert caught.value.fix == "allowed: module:name or null"


def test_a_method_of_ones_own_has_its_own_keys_and_may_start_from_any_preset(write: Write) -> None:
    name = write(
        "from pydantic import Field\n"
        "from coevolve.config import Config, Section\n"
        "from coevolve.methods.base import Method\n"
        "class Mine(Section):\n    depth: int = Field(2, ge=1, description='how deep')\n"
        "class Keys(Config):\n    mine: Mine = Mine()\n"
        "class Own(Method):\n"
        "    config = Keys\n"
        "    def agents(self, config): return ()\n"
        "    def phases(self, config, iteration): return []\n"
    )
    path = f"{name}:Own"
    config = load_config("nano", None, ["mine.depth=3"], method=path)
    assert (config.method, config.preset, config.iterations) == (path, "nano", 2)
    assert config.model_dump()["mine"] == {"depth": 3}
    assert not hasattr(config, "gate")
    assert load_config(method=path).preset == ""
    with pytest.raises(ConfigError, match=r"unknown key gate\.lower"):
        load_config("nano", None, ["gate.lower=0.1"], method=path)
    assert method_named(path).answerer == "solver"


def test_a_packaged_method_can_be_derived_from(write: Write) -> None:
    name = write("from coevolve.methods.agent0 import Agent0\nclass Mine(Agent0):\n    default_preset = 'nano'\n")
    config = load_config(method=f"{name}:Mine")
    assert isinstance(config, CoevolutionConfig)
    assert config.pool == load_config("nano").pool  # type: ignore[attr-defined]
    assert [p.report.name for p in method_named(f"{name}:Mine").phases(config, 1)] == [
        p.report.name for p in Agent0().phases(config, 1)
    ]


def test_a_world_of_ones_own_is_opened_by_its_class(write: Write) -> None:
    name = write(
        "from coevolve.worlds.miniature.learner import MiniatureWorld\n"
        "class Small(MiniatureWorld):\n"
        "    name = 'small'\n    example = 'Let a = 1 + 1. Find a.'\n    prompt_tokens = 32\n"
    )
    config = load_config("nano", None, [f"world={name}:Small"])
    world = open_world(config.world_settings)
    assert isinstance(world, MiniatureWorld)
    assert world.name == "small"
    assert (world_named(config.world).example, world_named(config.world).prompt_tokens) == (
        "Let a = 1 + 1. Find a.",
        32,
    )


def test_extra_terms_are_added_before_the_reward_is_clipped(write: Write) -> None:
    name = write(
        "def bonus(question, group, section): return 0.25 * group.vote.p_hat\n"
        "def malus(question, group, section): return -section.gamma\n"
        "def broken(question, group, section): return float('nan')\n"
    )
    section = RewardSection(extra=[f"{name}:bonus", f"{name}:malus"])
    terms = extra_terms("Find a.", voted(0.5), section)
    assert terms == {f"{name}:bonus": 0.125, f"{name}:malus": -0.25}
    parts = curriculum_reward(well_formed=True, uncertainty=1.0, tool=0.0, repetition=0.5, extra=terms)
    assert parts.total == pytest.approx(1.0 - 0.5 + 0.125 - 0.25)
    assert curriculum_reward(well_formed=False, uncertainty=0, tool=0, repetition=0, extra={"x": 1.0}).total == 0
    with pytest.raises(ConfigError, match="the term is nan"):
        extra_terms("Find a.", voted(0.5), RewardSection(extra=[f"{name}:broken"]))


def test_one_term_may_be_written_without_a_list(write: Write) -> None:
    name = write("def bonus(question, group, section): return 0.0\n")
    config = load_config("nano", None, [f"reward.extra={name}:bonus"])
    assert config.reward.extra == [f"{name}:bonus"]  # type: ignore[attr-defined]


def test_a_rule_has_the_last_word_at_the_gate() -> None:
    asked: list[str] = []

    def rule(group: Group) -> bool:
        asked.append(group.task.id)
        return group.vote.p_hat > 0.5

    groups = [voted(p) for p in (0.25, 0.5, 0.75, 1.0)]
    passed = gate(groups, 0.3, 0.8, rule=rule)
    assert passed.fates == ("below", "refused", "kept", "above")
    assert (passed.reasons["refused"], len(asked)) == (1, 2)
    assert "refused" not in gate(groups, 0.3, 0.8).reasons


def test_an_objective_of_ones_own_shapes_what_a_task_teaches(write: Write) -> None:
    name = write(
        "def cautious(p_hat, section): return p_hat, section.clip_low, section.clip_high + 1 - p_hat\n"
        "def broken(p_hat, section): return 1.0, 0.0, 0.2\n"
    )
    config = load_config("nano", None, [f"objective={name}:cautious", "solver.clip_high=0.3"])
    assert isinstance(config, CoevolutionConfig)
    assert np.allclose(shape_of(config.objective, config.solver, config.adpo, 0.75), (0.75, 0.2, 0.55))
    config = load_config("nano", None, [f"objective={name}:broken"])
    assert isinstance(config, CoevolutionConfig)
    with pytest.raises(ConfigError, match=r"clip bounds 0\.0 and 0\.2"):
        shape_of(config.objective, config.solver, config.adpo, 0.5)
