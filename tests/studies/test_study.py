"""What a study file says, and what its cells are: names, settings, states, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from coevolve.commands.study import WorldTable, study_markdown
from coevolve.config.keys import values_by_key
from coevolve.errors import ConfigError, RunError
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.registry import load_config
from coevolve.store import settings
from coevolve.store.folder import RunFolder
from coevolve.studies.comparison import read_runs
from coevolve.studies.side_by_side import side_by_side
from coevolve.studies.study import Cell, Study, cells_of, load_study, state_of, study_names

HEAD = "title: t\npreset: nano\nseeds: [3, 5]\nset: {pool.size: 8, engine: {threads: 2}}\n"
ROWS = "rows:\n  full: {}\n  no-gate: {title: no gate, set: {gate.enabled: false, pool: {size: 12}}}\n"


def written(folder: Path, text: str) -> str:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def cells(folder: Path, text: str = HEAD + ROWS, **how: object) -> list[Cell]:
    _, study = load_study(written(folder, text))
    return cells_of(study, folder / "cells", **how)  # type: ignore[arg-type]


def test_cells_are_all_rows_of_a_seed_before_the_next_and_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    found = cells(tmp_path)
    assert [cell.name for cell in found] == ["full-s3", "no-gate-s3", "full-s5", "no-gate-s5"]
    assert all(cell.path == tmp_path / "cells" / cell.name for cell in found)
    assert [cell.config.run.dir for cell in found] == [str(cell.path) for cell in found]
    assert [cell.config.seed for cell in found] == [3, 3, 5, 5]


def test_a_row_wins_over_the_study_and_the_command_line_over_both(tmp_path: Path) -> None:
    full, gate, *_ = cells(tmp_path, overrides=["proposer.votes=2"])
    assert (full.config.pool.size, gate.config.pool.size) == (8, 12)
    assert (full.config.engine.threads, gate.config.engine.threads) == (2, 2)
    assert (full.config.gate.enabled, gate.config.gate.enabled) == (True, False)
    assert (full.config.proposer.votes, gate.config.proposer.votes) == (2, 2)
    assert {cell.config.pool.size for cell in cells(tmp_path, overrides=["pool.size=9"])} == {9}


def test_a_preset_of_the_command_line_stands_for_that_of_the_study_not_for_that_of_a_row(tmp_path: Path) -> None:
    text = HEAD + "rows:\n  full: {}\n  paper: {preset: mini-paper}\n"
    assert [cell.config.preset for cell in cells(tmp_path, text, seeds=[0])] == ["nano", "mini-paper"]
    assert [cell.config.preset for cell in cells(tmp_path, text, seeds=[0], preset="mini")] == ["mini", "mini-paper"]


def test_true_labels_are_for_single_rows(tmp_path: Path) -> None:
    _, study = load_study("oracle-gap")
    votes, oracle = cells_of(study, tmp_path, seeds=[0], preset="nano")
    assert (votes.config.oracle, oracle.config.oracle) == (False, True)
    different = {k for k, v in values_by_key(votes.config).items() if v != values_by_key(oracle.config)[k]}
    assert different == {"solver.labels", "run.dir"}
    for common in ({"overrides": ["solver.labels=truth"]}, {"text": HEAD[:-2] + ", solver: {labels: truth}}\n" + ROWS}):
        with pytest.raises(ConfigError, match="single rows"):
            cells(tmp_path, **common)


def test_cells_have_one_rollout_worker_unless_the_study_says_more(tmp_path: Path) -> None:
    _, ablations = load_study("ablations")
    assert {cell.config.engine.workers for cell in cells_of(ablations, tmp_path)} == {1}
    assert {cell.config.engine.workers for cell in cells_of(ablations, tmp_path, overrides=["engine.workers=2"])} == {2}


def test_the_ablations_differ_from_the_full_method_in_the_keys_that_the_methods_page_names(tmp_path: Path) -> None:
    _, study = load_study("ablations")
    full, *others = cells_of(study, tmp_path, seeds=[0])
    beside = {
        "run",
        "evaluation",
        "engine",
        "health",
    }  # where it is stored, what is measured, how fast, what is guarded
    assert full.config.model_dump(exclude=beside) == load_config("mini").model_dump(exclude=beside)
    assert (full.config.health.probe, full.config.health.explosion) == (0, 0)
    left_out = {
        "untrained-curriculum": ("proposer", "train", False),
        "no-tool-reward": ("reward", "lambda_tool", 0.0),
        "no-repetition-penalty": ("reward", "lambda_rep", 0.0),
        "no-gate": ("gate", "enabled", False),
        "one-turn": ("tool", "max_turns", 1),
        "no-tool": ("tool", "enabled", False),
    }
    assert {cell.row for cell in others} == {*left_out, "grpo"}
    for cell in others:
        expected = full.config.model_dump(exclude={"run"})
        if cell.row == "grpo":
            expected["objective"] = "grpo"
        else:
            section, key, value = left_out[cell.row]
            expected[section][key] = value
        assert cell.config.model_dump(exclude={"run"}) == expected


def test_only_the_rows_that_are_wanted(tmp_path: Path) -> None:
    assert [cell.name for cell in cells(tmp_path, only=["no-gate"])] == ["no-gate-s3", "no-gate-s5"]
    with pytest.raises(ConfigError, match="did you mean no-gate"):
        cells(tmp_path, only=["no-gat"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title: t\n", "rows"),
        ("title: t\nrows: {}\n", "rows"),
        ("title: t\nrows: {a: {sets: {}}}\n", "rows.a.sets"),
        ("title: t\nseeds: [-1]\nrows: {a: {}}\n", "seeds.0"),
        ("title: t\nseeds: [1, 1]\nrows: {a: {}}\n", "seeds must be different"),
        ("title: t\nrows: {a: {}, a: {}}\n", "twice"),
        ("title: t\nrows: {A b: {}}\n", "cannot be called A b"),
        ("title: t\nrows: {a-s1: {}}\n", "cannot be called a-s1"),
        ("title: t\nrows: {a: {set: {reward.lambda_tol: 1}}}\n", "did you mean reward.lambda_tool"),
        ("title: t\nrows: {a: {set: {seed: 1}}}\n", "seed cannot be set"),
        ("title: t\nset: {run: {dir: x}}\nrows: {a: {}}\n", "run.dir cannot be set"),
        ("title: t\nrows: {a: {preset: minni}}\n", "did you mean mini"),
        ("title: t\ncolumns: [label]\nrows: {a: {}}\n", "did you mean labels"),
    ],
)
def test_a_study_that_cannot_be_meant_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        cells(tmp_path, text)


def test_the_command_line_cannot_set_what_belongs_to_the_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--seeds"):
        cells(tmp_path, overrides=["seed=1"])


def test_an_unknown_study_names_those_that_there_are() -> None:
    assert "ablations" in study_names()
    with pytest.raises(ConfigError, match="did you mean ablations"):
        load_study("ablation")
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_study("absent.yaml")


def test_the_folder_says_how_far_a_cell_is(tmp_path: Path) -> None:
    cell = cells(tmp_path)[0]
    assert state_of(cell) == "missing"
    folder = RunFolder.create(cell.path, cell.config)
    assert state_of(cell) == "unfinished"
    folder.set_status("finished")
    folder.close()
    assert state_of(cell) == "finished"


def test_a_folder_that_was_moved_is_still_the_cell(tmp_path: Path) -> None:
    cell = cells(tmp_path)[0]
    elsewhere = cell.config.model_copy(update={"run": cell.config.run.model_copy(update={"dir": "/elsewhere"})})
    RunFolder.create(cell.path, elsewhere).close()
    assert state_of(cell) == "unfinished"


def test_a_folder_with_another_configuration_is_refused_with_what_differs(tmp_path: Path) -> None:
    cell = cells(tmp_path)[1]
    RunFolder.create(cell.path, CoevolutionConfig(**cell.config.model_dump() | {"gate": {"enabled": True}})).close()
    with pytest.raises(RunError, match=r"gate\.enabled is true, not false; gate\.lower is 0\.3, not 0\.25") as caught:
        state_of(cell)
    assert caught.value.where == str(cell.path)
    assert "--dir" in caught.value.fix


@pytest.mark.parametrize("finished", [True, False])
def test_a_finished_run_may_be_older_than_a_key_but_no_other_can_go_on_with_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    cell = cells(tmp_path, overrides=["tool.state=session"])[0]
    older = cell.config.model_dump()
    del older["tool"]["state"]
    monkeypatch.setattr(settings, "to_yaml", lambda config: yaml.safe_dump(older).encode())
    folder = RunFolder.create(cell.path, cell.config)
    folder.set_status("finished" if finished else "running")
    folder.close()
    if finished:
        assert state_of(cell) == "finished"
        with pytest.raises(RunError, match=r"pool\.size is 8, not 9"):
            state_of(cells(tmp_path, overrides=["tool.state=session", "pool.size=9"])[0])
        with pytest.raises(RunError, match=r"sampling\.solver\.top_k is null, not 9"):
            state_of(cells(tmp_path, overrides=["tool.state=session", "sampling.solver.top_k=9"])[0])
    else:
        with pytest.raises(RunError, match=r"tool\.state is stateless, not session"):
            state_of(cell)


def test_every_packaged_study_has_cells_that_can_be_run(tmp_path: Path) -> None:
    for name in study_names():
        _, study = load_study(name)
        cells = cells_of(study, tmp_path)
        assert len(cells) == len(study.rows) * len(study.seeds) >= 6
        assert len({cell.config.model_dump_json() for cell in cells}) == len(cells)


def test_the_rows_of_the_study_of_levers_pull_one_lever_each_beside_the_window(tmp_path: Path) -> None:
    _, study = load_study("levers")
    cells = {cell.row: values_by_key(cell.config) for cell in cells_of(study, tmp_path, seeds=[0])}

    def changed(row: str, to: str) -> set[str]:
        return {key for key, value in cells[row].items() if value != cells[to][key]} - {"run.dir"}

    window = changed("window", "paper")
    assert window == {"gate.lower", "gate.upper", "pool.votes", "pool.stop"}
    assert {row: changed(row, "paper") for row in ("untrained", "voters")} == {
        "untrained": {"proposer.train"},
        "voters": {"pool.voters"},
    }
    added = {row: changed(row, "window") for row in cells if row.startswith("window-")}
    values = {tuple((key, str(cells[row][key])) for key in sorted(keys)) for row, keys in added.items()}
    assert len(values) == len(added)
    assert all(
        1 <= len({key.split(".")[0] for key in keys}) <= (3 if row == "window-all" else 1)
        for row, keys in added.items()
    )


def test_the_study_of_stability_is_about_the_early_base_model_and_ten_iterations(tmp_path: Path) -> None:
    _, study = load_study("stability")
    cells = {cell.row: cell.config for cell in cells_of(study, tmp_path, seeds=[0])}
    assert {row: (cell.method, cell.preset) for row, cell in cells.items()} == {
        "paper": ("agent0", "mini-paper"),
        "r-zero": ("r-zero", "r-zero"),
        "stable": ("agent0", "agent0-stable"),
        "strict": ("agent0", "agent0-stable"),
    }
    assert {(cell.iterations, cell.model.path) for cell in cells.values()} == {(10, "miniature-early")}


def test_the_study_of_dialogues_trains_both_rows_from_the_same_base_model_and_differs_in_the_turns_only(
    tmp_path: Path,
) -> None:
    _, study = load_study("dialogues")
    single, dialogues = (values_by_key(cell.config) for cell in cells_of(study, tmp_path, seeds=[0]))
    assert {key for key in single if single[key] != dialogues[key]} == {"dialogue.turns", "run.dir"}
    assert (single["dialogue.turns"], dialogues["dialogue.turns"]) == (1, 4)
    assert single["model.path"] == "miniature-dialogues"
    assert study.compared == "dialogues"


def test_a_table_of_dialogues_has_a_column_for_each_number_of_turns(
    fabricated: Callable[..., Path], tmp_path: Path
) -> None:
    _, study = load_study("dialogues")
    folders = [fabricated(tmp_path / f"{row}-s0", dialogues=2) for row in study.rows]
    head, _, first, *_ = study_markdown(
        study, [WorldTable("single", side_by_side(read_runs(folders, study.compared)))]
    ).splitlines()
    assert "| 2 turns | 3 turns | 4 turns | mean@k |" in head
    assert "| 25.0 | 37.5 | 50.0 | 37.5 ±" in first


def test_rows_of_another_world_stand_in_a_table_of_their_own(fabricated: Callable[..., Path], tmp_path: Path) -> None:
    rows = yaml.safe_load("{title: t, columns: [labels, tokens], rows: {a: {}, b: {}, c: {title: games}, d: {}}}")
    study = Study.model_validate(rows)
    folders = [fabricated(tmp_path / f"{row}-s{seed}", seed=seed) for row in study.rows for seed in (1, 2)]
    a, b, c, d = side_by_side(read_runs(folders), reference="none")
    tokens = {key: value for key, value in c.known.items() if key == "tokens"}
    c, d = (replace(one, world="games", problems="play", known=tokens) for one in (c, d))
    text = study_markdown(study, [WorldTable("a", [a, b]), WorldTable("c", [c, d])])
    first, second = text.split("World `games`:")
    assert first.startswith("World `miniature`:")
    assert "| to a |" in first
    assert "pseudo-label accuracy |" in first
    assert "| to games |" in second
    assert "pseudo-label" not in second, "no method of this world has such a figure"
    assert "Matches that the last player has not lost" in second


def test_a_column_of_a_row_that_is_not_run_is_no_mistake(tmp_path: Path) -> None:
    _, study = load_study("methods")
    (cell,) = cells_of(study, tmp_path, seeds=[1], only=["r-zero"])
    assert cell.row == "r-zero"
    assert "exploitability" in study.columns
