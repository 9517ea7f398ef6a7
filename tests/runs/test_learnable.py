"""What the first rows of a run say of whether there is anything to learn, and how a run is refused by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coevolve.errors import NothingToLearn
from coevolve.methods.registry import load_config
from coevolve.runs.learnable import fatal_obstacles, require_learning
from coevolve.store import settings
from coevolve.store.folder import RunFolder

Row = dict[str, Any]
STEP: Row = {"event": "curriculum_step", "iteration": 1, "step": 1, "format": 0.5, "p_hat": 0.4, "tool_calls": 0.7}
POOL: Row = {
    "event": "pool", "iteration": 1, "size": 80, "asked": 40, "well_formed": 0.5, "tool_calls": 0.7, "kept": 9,
    "reasons": {"no_answer": 3, "below": 20, "above": 8, "malformed": 40},
}  # fmt: skip
TAG = {"code": "no tag", "text": "none of 24 texts hold the tag", "change": "model.prompts=arithmetic", "fatal": True}
SEEN: Row = {"event": "obstacles", "iteration": 0, "found": [TAG | {"code": "noise", "fatal": False}]}
NO_TOOL = ("tool.enabled=false", "model.prompts=r-zero")


def folder(path: Path, *rows: Row, overrides: tuple[str, ...] = ()) -> RunFolder:
    """A run in the open world in whose only phase these rows were logged."""
    made = RunFolder.create(path, load_config("smoke-hf", overrides=overrides))
    made.begin("iteration-1/pool")
    for row in rows:
        made.log(row)
    return made


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (STEP | {"format": 0.0, "p_hat": None, "tool_calls": None}, "none of 16 texts is a well-formed question"),
        (STEP | {"p_hat": 0.0}, "no answer to any question can be read"),
        (STEP | {"tool_calls": 0.0}, "no program ran"),
        (POOL | {"well_formed": 0.0, "asked": 0}, "none of 80 texts is a well-formed question"),
        (POOL | {"reasons": {"no_answer": 40}}, "no answer to any question can be read"),
        (POOL | {"tool_calls": 0.0}, "no program ran"),
        (POOL | {"kept": 0}, "the gate kept none of 80 texts"),
        (SEEN | {"found": [TAG]}, "none of 24 texts hold the tag"),
    ],
    ids=lambda x: x.replace(" ", "-") if isinstance(x, str) else x["event"],
)
def test_a_run_with_nothing_to_learn_is_refused_by_its_rows(tmp_path: Path, row: Row, words: str) -> None:
    run = folder(tmp_path / "run", row)
    with pytest.raises(NothingToLearn, match=words) as caught:
        require_learning(run.records)
    assert caught.value.exit_code == 3
    assert f"coevolve run --config {tmp_path}/run/config.yaml --set run.dir=NEW" in caught.value.fix
    assert "--set health.trial=0" in caught.value.fix


@pytest.mark.parametrize(
    ("rows", "overrides"),
    [
        ((SEEN, STEP, POOL), ()),
        ((STEP | {"step": 2, "format": 0.0},), ()),  # a later step raises an alarm instead
        ((POOL | {"iteration": 2, "kept": 0},), ()),
        ((POOL | {"size": 12, "kept": 0},), ()),  # few tasks are chance
        ((STEP | {"tool_calls": 0.0}, POOL | {"tool_calls": 0.0}), NO_TOOL),
        ((POOL | {"tool_calls": 0.0},), ("reward.lambda_tool=0",)),
        ((STEP | {"format": 0.0}, POOL | {"kept": 0}), ("health.trial=0",)),
    ],
    ids=["well", "later-step", "later-pool", "small-pool", "no-tool", "unpaid-tool", "insisted"],
)
def test_a_run_goes_on_where_there_may_be_something(
    tmp_path: Path, rows: tuple[Row, ...], overrides: tuple[str, ...]
) -> None:
    run = folder(tmp_path / "run", *rows, overrides=overrides)
    assert fatal_obstacles(run.records) == []
    require_learning(run.records)


def test_a_run_that_was_begun_without_a_first_look_goes_on_without_one(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", load_config("smoke-hf"))
    state, stored = run.records.state, dict(run.records.state.config)
    assert settings.parsed(stored, state, tmp_path).health.trial == 24
    stored["health"] = {key: value for key, value in stored["health"].items() if key != "trial"}
    assert settings.parsed(stored, state, tmp_path).health.trial == 0


def test_the_miniature_is_never_refused(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", load_config("nano"))
    run.begin("iteration-1/pool")
    run.log(POOL | {"kept": 0})
    assert fatal_obstacles(run.records) == []
