"""Which runs are seeds of one setting, and what they are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coevolve.config.keys import values_by_key
from coevolve.errors import RunError
from coevolve.methods.registry import load_config
from coevolve.store.folder import RunFolder
from coevolve.studies.comparison import ReadRun, read_runs
from coevolve.studies.grouping import grouped, label_of, refuse_another, setting
from coevolve.studies.side_by_side import notes, side_by_side

Fabricated = Callable[..., Path]


def made(name: str, *overrides: str, preset: str = "nano", base: str | None = None) -> ReadRun:
    config = load_config(preset, None, overrides)
    return ReadRun(Path("/somewhere") / name, config.seed, config, {}, (), base)


def names(*runs: ReadRun) -> dict[str, list[str]]:
    return {label: [run.path.name for run in mine] for label, mine in grouped(runs).items()}


def test_the_label_stands_in_names_that_end_with_a_seed() -> None:
    found = [label_of(Path(name)) for name in ("runs/mini-s12", "no-tool-s0/", "agent0-mini-0", "a-s1-s2")]
    assert found == ["mini", "no-tool", None, "a-s1"]


def test_two_seeds_of_one_configuration_are_one_setting_whatever_their_folders_are_called() -> None:
    zero, one, other = made("agent0-nano-0"), made("agent0-nano-1", "seed=1"), made("again", "seed=2")
    assert names(one, zero) == {"agent0-nano": ["agent0-nano-0", "agent0-nano-1"]}
    assert names(zero, other) == {"agent0-nano-0 and 1 more": ["agent0-nano-0", "again"]}
    assert names(zero) == {"agent0-nano-0": ["agent0-nano-0"]}


def test_what_says_where_and_how_fast_a_run_was_is_no_setting() -> None:
    here = made("agent0-nano-0")
    there = made(
        "agent0-nano-1", "seed=1", "engine.workers=2", "engine.max_rows=64", "run.save_every=3", "run.name=x",
        "track.to=[tensorboard]", "sandbox.workers=1", "tool.cache=10",
    )  # fmt: skip
    assert names(here, there) == {"agent0-nano": ["agent0-nano-0", "agent0-nano-1"]}
    assert setting(values_by_key(here.config)) == setting(values_by_key(there.config))


def test_a_key_that_is_computed_with_makes_another_setting() -> None:
    runs = made("agent0-nano-0"), made("agent0-nano-0-2", "gate.lower=0.2"), made("agent0-nano-1", "seed=1")
    assert names(*runs) == {
        "agent0-nano": ["agent0-nano-0", "agent0-nano-1"],
        "agent0-nano-0-2": ["agent0-nano-0-2"],
    }


def test_groups_that_would_share_a_name_are_called_by_their_folder() -> None:
    first = [made("agent0-nano-0"), made("agent0-nano-1", "seed=1")]
    second = [made(f"agent0-nano-{n}-2", f"seed={n}", "gate.lower=0.2") for n in (0, 1)]
    assert list(names(*first, *second)) == ["/somewhere/agent0-nano-0", "/somewhere/agent0-nano-0-2"]


def test_labels_are_never_put_together_and_a_name_without_one_joins() -> None:
    """Code that was edited between two sets of runs does not stand in the configuration."""
    before, after = made("base-s0"), made("mine-s1", "seed=1")
    assert list(names(before, after)) == ["base", "mine"]
    assert names(before, made("agent0-nano-1", "seed=1")) == {"base": ["base-s0", "agent0-nano-1"]}


def test_a_seed_that_is_there_already_begins_a_group_of_its_own() -> None:
    assert list(names(made("a"), made("b"))) == ["a", "b"]


def test_a_label_that_contradicts_the_configurations_is_refused() -> None:
    with pytest.raises(RunError, match="both runs of a have seed 0"):
        grouped([made("a-s0"), made("a-s1")])
    with pytest.raises(RunError, match=r"differ in more than their seed: gate\.lower"):
        grouped([made("a-s0"), made("a-s1", "seed=1", "gate.lower=0.2")])


def test_base_models_are_the_same_by_their_weights() -> None:
    here, there = made("a-s0", "model.path=/x", base="f00"), made("a-s1", "seed=1", "model.path=/y", base="f00")
    assert list(names(here, there)) == ["a"]
    with pytest.raises(RunError, match=r"model\.path"):
        grouped([here, made("a-s1", "seed=1", "model.path=/x", base="bad")])


def test_equal_configurations_under_two_labels_are_told(fabricated: Fabricated, tmp_path: Path) -> None:
    folders = [fabricated(tmp_path / f"{name}-s{seed}", seed=seed) for name in "ab" for seed in (0, 1)]
    assert any("a and b have the same configuration" in note for note in notes(read_runs(folders)))
    other = [fabricated(tmp_path / f"c-s{seed}", seed=seed, objective="grpo") for seed in (0, 1)]
    assert notes(read_runs([*folders[:2], *other])) == []


def test_one_seed_against_one_seed_is_given_no_verdict(fabricated: Fabricated, tmp_path: Path) -> None:
    low, high = (0.1, 0.2), (0.1, 0.8)
    runs = [fabricated(tmp_path / "a", means=low), fabricated(tmp_path / "b", means=high, objective="grpo")]
    difference = side_by_side(read_runs(runs))[1].difference
    assert difference is not None
    assert difference.estimate.low > 0.4
    assert difference.verdict == "no verdict"
    more = [
        fabricated(tmp_path / f"{name}{seed}", seed=seed, means=means, objective=objective)
        for name, means, objective in (("c", low, "adpo"), ("d", high, "grpo"))
        for seed in (1, 2)
    ]
    several = side_by_side(read_runs([*runs, *more]))
    assert [result.seeds for result in several] == [(0, 1, 2), (0, 1, 2)]
    assert several[1].difference is not None
    assert several[1].difference.verdict == "higher"


def test_two_sets_that_share_one_seed_are_compared_on_all_of_them(fabricated: Fabricated, tmp_path: Path) -> None:
    first = [fabricated(tmp_path / f"a-s{seed}", seed=seed) for seed in (0, 1, 2)]
    second = [fabricated(tmp_path / f"b-s{seed}", seed=seed, objective="grpo") for seed in (2, 3, 4)]
    difference = side_by_side(read_runs([*first, *second]))[1].difference
    assert difference is not None
    assert (difference.seeds, difference.over_seeds) == ((), True)


def test_a_collapsed_seed_is_named_with_what_three_seeds_can_say(fabricated: Fabricated, tmp_path: Path) -> None:
    ends = (0.82, 0.2, 0.8)
    folders = [fabricated(tmp_path / f"a-s{s}", seed=s, means=(0.1, end), per_level=60) for s, end in enumerate(ends)]
    (note,) = notes(read_runs(folders))
    assert "seed 1 of a ends at" in note
    assert "1 to 91 % of all seeds end like it" in note
    fine = [fabricated(tmp_path / f"b-s{s}", seed=s, means=(0.1, 0.8 - s / 50), per_level=60) for s in range(3)]
    assert notes(read_runs(fine)) == []


def test_seeds_that_other_code_has_made_are_told(fabricated: Fabricated, tmp_path: Path) -> None:
    codes = [{"commit": "a" * 40, "diff_sha256": None}, {"commit": "a" * 40, "diff_sha256": "b" * 64}]
    folders = []
    for seed, code in enumerate(codes):
        folders.append(fabricated(tmp_path / f"a-s{seed}", seed=seed))
        folder = RunFolder.open(folders[-1])
        folder.set_status("finished", starts=[{"code": code, "own_code": {}}])
        folder.close()
    (note,) = notes(read_runs(folders))
    assert note.endswith(f"versions of the code: {'a' * 12}, {'a' * 12} with changes (coevolve {'b' * 12})")
    fabricated(tmp_path / "a-s2", seed=2)  # of a version that recorded no code
    assert notes(read_runs([folders[0], tmp_path / "a-s2"])) == []


def test_a_folder_with_other_values_is_refused_with_each_of_them() -> None:
    folder = Path("runs/mine")
    refuse_another(folder, {"a": 1, "b": "x"}, {"b": "x", "a": 1}, asked="was asked for", fix="move it")
    with pytest.raises(RunError, match="asked for: b is x, not y; c is null, not 2; a is 1, not null") as error:
        refuse_another(folder, {"a": 1, "b": "x"}, {"b": "y", "c": 2}, asked="was asked for", fix="move it")
    assert (error.value.where, error.value.fix) == (str(folder), "move it")
