"""Runs side by side: what is read, paired and said, against runs whose tables are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coevolve.config.keys import values_by_key
from coevolve.errors import RunError
from coevolve.methods.config import CoevolutionConfig
from coevolve.statistics import crossed, estimate
from coevolve.store.records import RunRecords
from coevolve.studies.comparison import (
    differing,
    held_out,
    held_out_difference,
    last_common_iteration,
    levels_of,
    read_runs,
)
from coevolve.studies.side_by_side import config_differences, notes, side_by_side

Fabricated = Callable[..., Path]


def rates(path: Path, iteration: int) -> np.ndarray:
    rows = RunRecords.open(path).read_table(f"meter/evaluation-{iteration}.parquet")
    return np.array([row["samples_right"] / row["k"] for row in rows])  # type: ignore[operator]


def test_labels_stay_in_the_order_given_and_seeds_ascend(fabricated: Fabricated, tmp_path: Path) -> None:
    folders = [fabricated(tmp_path / name, seed=int(name[-1])) for name in ("b-s2", "a-s1", "b-s0")]
    runs = read_runs(folders)
    assert {label: [run.seed for run in mine] for label, mine in runs.items()} == {"b": [0, 2], "a": [1]}


def test_means_and_intervals_are_those_of_the_tables(fabricated: Fabricated, tmp_path: Path) -> None:
    folders = [fabricated(tmp_path / f"a-s{seed}", seed=seed) for seed in (0, 1, 2)]
    mine = read_runs(folders)["a"]
    table = np.array([rates(folder, 3) for folder in folders])
    assert held_out(mine, 3) == crossed(table)
    assert held_out(mine, 3).mean == pytest.approx(table.mean())
    assert held_out(mine, 3, level="2").mean == pytest.approx(table[:, 20:40].mean())
    assert held_out(mine[:1], 3) == estimate(table[0])
    assert held_out(mine, 2, "calls").mean == 3.0


def test_a_difference_is_taken_on_the_seeds_that_both_have(fabricated: Fabricated, tmp_path: Path) -> None:
    first = [fabricated(tmp_path / f"a-s{seed}", seed=seed) for seed in (0, 1, 2)]
    second = [fabricated(tmp_path / f"b-s{seed}", seed=seed, means=(0.1, 0.2, 0.3, 0.4)) for seed in (1, 2, 3)]
    runs = read_runs([*first, *second])
    found = held_out_difference(runs["a"], runs["b"], 3)
    expected = np.mean([rates(second[i], 3) - rates(first[i + 1], 3) for i in (0, 1)])
    assert found.estimate.mean == pytest.approx(expected)
    assert (found.seeds, found.same_problems, found.over_seeds, found.verdict) == ((1, 2), True, True, "lower")


def test_without_a_common_seed_all_seeds_count_and_are_not_paired(fabricated: Fabricated, tmp_path: Path) -> None:
    first = [fabricated(tmp_path / f"a-s{seed}", seed=seed) for seed in (0, 1)]
    second = [fabricated(tmp_path / f"b-s{seed}", seed=seed) for seed in (2, 3)]
    runs = read_runs([*first, *second])
    found = held_out_difference(runs["a"], runs["b"], 3)
    expected = np.mean([rates(path, 3) for path in second]) - np.mean([rates(path, 3) for path in first])
    assert found.estimate.mean == pytest.approx(expected)
    assert (found.seeds, found.same_problems, found.over_seeds) == ((), True, True)


def test_other_problems_are_not_paired(fabricated: Fabricated, tmp_path: Path) -> None:
    runs = read_runs([fabricated(tmp_path / "a"), fabricated(tmp_path / "b", per_level=10)])
    found = held_out_difference(runs["a"], runs["b"], 3)
    assert not found.same_problems
    assert any("other held-out problems than a" in note for note in notes(runs))


def test_a_run_against_itself_is_not_told_apart(fabricated: Fabricated, tmp_path: Path) -> None:
    runs = read_runs([fabricated(tmp_path / "a"), fabricated(tmp_path / "b")])
    found = held_out_difference(runs["a"], runs["b"], 3)
    assert (found.estimate.mean, found.estimate.low, found.estimate.high) == (0, 0, 0)
    assert found.verdict == "no verdict"
    assert not found.over_seeds


def test_unfinished_runs_are_compared_up_to_where_all_have_data(fabricated: Fabricated, tmp_path: Path) -> None:
    whole = fabricated(tmp_path / "a")
    part = fabricated(tmp_path / "b", means=(0.1, 0.4, 0.5), finished=False)
    runs = read_runs([whole, part])
    first, second = side_by_side(runs)
    assert last_common_iteration(runs) == 2
    assert len(first.curve) == len(second.curve) == 3
    assert first.mean.mean == pytest.approx(rates(whole, 2).mean())
    assert [x.mean for x in first.quantities["mean_at_8"]] == pytest.approx([0.12, 0.5, 0.6])
    assert [x.mean for x in first.quantities["greedy"]] == pytest.approx([0.6])
    assert not {"wall_s", "cpu_s"} & first.quantities.keys()
    said = " · ".join(notes(runs))
    assert f"{part} has not finished (stopped): evaluated up to iteration 2 of 3" in said
    assert "compared after iteration 2" in said


def test_finished_runs_of_equal_length_leave_nothing_to_note_but_single_seeds(
    fabricated: Fabricated, tmp_path: Path
) -> None:
    runs = read_runs([fabricated(tmp_path / f"a-s{seed}", seed=seed) for seed in (0, 1)])
    assert notes(runs) == []
    (result,) = side_by_side(runs)
    assert result.difference is None
    assert [x.mean for x in result.quantities["wall_s"]] == pytest.approx([200])
    assert any("one seed" in note for note in notes(read_runs([tmp_path / "a-s0"])))


def test_settings_of_equal_budgets_are_compared_after_their_own_last_iteration(
    fabricated: Fabricated, tmp_path: Path
) -> None:
    long = fabricated(tmp_path / "a-s0")
    short = fabricated(tmp_path / "b-s0", means=(0.1, 0.4, 0.5), iterations=2)
    runs = read_runs([long, short])
    first, second = side_by_side(runs, each_at_its_end=True)
    assert (len(first.curve), len(second.curve)) == (4, 3)
    assert (first.mean.mean, second.mean.mean) == pytest.approx((rates(long, 3).mean(), rates(short, 2).mean()))
    assert second.difference is not None
    assert second.difference.same_problems
    assert second.difference.estimate.mean == pytest.approx(rates(short, 2).mean() - rates(long, 3).mean())
    assert [len(x.quantities["mean_at_8"]) for x in (first, second)] == [4, 3]
    assert all("tokens" in x.quantities for x in (first, second))
    together = side_by_side(runs)
    assert [len(x.curve) for x in together] == [3, 3]
    assert "tokens" not in together[0].quantities


def test_only_the_keys_that_differ_are_told(fabricated: Fabricated, tmp_path: Path) -> None:
    runs = read_runs(
        [fabricated(tmp_path / "a-s0"), fabricated(tmp_path / "b-s1", seed=1, objective="grpo", gate={"lower": 0.2})]
    )
    assert config_differences(runs) == {"objective": ["adpo", "grpo"], "gate.lower": [0.3, 0.2]}
    assert differing([values_by_key(CoevolutionConfig()), values_by_key(CoevolutionConfig(run={"dir": "x"}))]) == {}  # type: ignore[arg-type]
    assert levels_of(runs) == ["1", "2", "3"]


def test_runs_that_cannot_be_compared_are_refused(fabricated: Fabricated, tmp_path: Path) -> None:
    first, again = fabricated(tmp_path / "a-s0"), fabricated(tmp_path / "a-s1")  # the same seed under another name
    with pytest.raises(RunError, match="seed 0"):
        read_runs([first, again])
    with pytest.raises(RunError, match=r"differ in more than their seed: gate\.enabled"):
        read_runs([first, fabricated(tmp_path / "a-s2", seed=2, gate={"enabled": False})])
    with pytest.raises(RunError, match="not evaluated anything"):
        read_runs([fabricated(tmp_path / "empty", means=(), finished=False)])
    with pytest.raises(RunError, match="no such run folder"):
        read_runs([tmp_path / "absent"])


def test_runs_can_be_compared_on_held_out_dialogues(fabricated: Fabricated, tmp_path: Path) -> None:
    better = fabricated(tmp_path / "b-s0", dialogues=4)
    runs = read_runs([fabricated(tmp_path / "a-s0", dialogues=4, means=(0.1, 0.2, 0.3)), better], "dialogues")
    first, second = side_by_side(runs)
    assert [x.mean for x in first.curve] == pytest.approx([1 / 24, 3 / 24, 6 / 24])
    assert {turns: x.mean for turns, x in second.levels.items()} == pytest.approx({"2": 1 / 8, "3": 2 / 8, "4": 3 / 8})
    assert second.difference is not None
    assert (second.difference.estimate.mean, second.difference.estimate.n) == (0, 12)


def test_a_run_without_dialogues_is_not_compared_on_them(fabricated: Fabricated, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not measured on held-out dialogues") as caught:
        read_runs([fabricated(tmp_path / "a-s0")], "dialogues")
    assert "evaluation.dialogues" in caught.value.fix
