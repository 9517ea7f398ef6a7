"""A study: rows of settings times seeds, each cell an ordinary run in a folder of its own.

The file says what the rows are; a cell's folder says how far it is. Nothing else is remembered, so a study can be
stopped at any instant and taken up again, and its cells can be read like any run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coevolve.config import Config
from coevolve.config.keys import nearest, values_by_key
from coevolve.config.loading import Layer, expanded, layer_of, parse_yaml
from coevolve.errors import ConfigError
from coevolve.evaluation.phase import run_reports
from coevolve.methods.registry import load_config
from coevolve.store import manifest, settings
from coevolve.store.records import RunRecords
from coevolve.studies.comparison import Problems
from coevolve.studies.grouping import refuse_another
from coevolve.studies.quantities import quantities_of

CellState = Literal["missing", "unfinished", "finished"]

_ROW_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_OF_THE_STUDY = {
    "seed": "seeds of a study: --seeds 0,1,2, or `seeds` in its file",
    "preset": "preset of a study: --preset NAME, or `preset` in its file or of a row",
    "method": "a study runs the method of its preset",
    "run.dir": "folder of a study: --dir DIR",
    "run.name": "folder of a study: --dir DIR",
    "run.seeds": "seeds of a study: --seeds 0,1,2, or `seeds` in its file",
}
# Where the folder stands says nothing about what is computed in it.
_PLACES = {"run.dir", "run.name"}
_OF_A_ROW = "solver.labels"  # true labels: what one row has that the others are compared with


class StudyRow(BaseModel):
    """One variant: what it is called in the table, and how it differs from the study's common settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    title: str | None = None
    preset: str | None = None
    set: dict[str, Any] = {}


class Study(BaseModel):
    """What a study's file holds. The first row is the one that the others are compared with."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    title: str
    text: str = ""
    preset: str | None = None
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0, 1, 2], min_length=1)
    set: dict[str, Any] = {}
    compared: Problems = "held_out"  # problems that the rows are compared on
    columns: list[str] = ["labels", "first_executor", "pool_calls", "calls"]  # besides accuracy on these problems
    rows: dict[str, StudyRow] = Field(min_length=1)

    def title_of(self, row: str) -> str:
        """How a row is called in the table."""
        return self.rows[row].title or row


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a study."""

    row: str
    seed: int
    path: Path
    config: Config

    @property
    def name(self) -> str:
        """Its folder's name, and the last part of ``path``."""
        return cell_name(self.row, self.seed)


def cell_name(row: str, seed: int) -> str:
    """``<row>-s<seed>``: ``coevolve compare`` reads such folders as seeds of one label."""
    return f"{row}-s{seed}"


def study_names() -> list[str]:
    """The studies that ship with the package."""
    folder = resources.files("coevolve.studies")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_study(name: str) -> tuple[str, Study]:
    """A packaged study by its name, or one from a YAML file; returns what it is called, and the study.

    Raises:
        ConfigError: there is no such study, or its file does not say what a study is. Keys of rows are checked when
            the cells are made.
    """
    if name in study_names():
        text = resources.files("coevolve.studies").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
        return name, _study(text, f"study {name}")
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        guess = nearest(name, study_names())
        hint = f" (did you mean {guess}?)" if guess else ""
        fix = f"studies: {', '.join(study_names())}; or name a YAML file"
        raise ConfigError(f"unknown study {name}{hint}", fix=fix)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read the study: {reason}", where=name, fix="name a YAML file") from error
    return path.stem, _study(text, name)


def cells_of(
    study: Study,
    folder: Path,
    *,
    seeds: Sequence[int] | None = None,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    only: Sequence[str] | None = None,
) -> list[Cell]:
    """The cells in the order in which they are run: all rows of the first seed, then of the next.

    Settings of a cell, later ones over earlier ones: the preset (that of the row, else ``preset``, else the study's),
    one rollout worker, what the study sets, what the row sets, ``overrides``, seed and folder.

    Args:
        only: names of the rows that are wanted.

    Raises:
        ConfigError: an unknown row or key, a value that is not allowed, a key that belongs to the study.
    """
    wanted = list(study.rows) if only is None else list(only)
    for name in wanted:
        if name not in study.rows:
            guess = nearest(name, list(study.rows))
            hint = f" (did you mean {guess}?)" if guess else ""
            raise ConfigError(f"the study has no row {name}{hint}", fix=f"rows: {', '.join(study.rows)}")
    chosen = study.seeds if seeds is None else list(seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ConfigError("seeds must be different numbers, at least one", where="--seeds", fix="--seeds 0,1,2")
    common = _layer(study.set, "set of the study")
    if _OF_A_ROW in common.values or any(x.partition("=")[0].strip() == _OF_A_ROW for x in overrides):
        fix = "set it in `rows`, as the study oracle-gap does"
        raise ConfigError(f"{_OF_A_ROW} is for single rows of a study", where=_OF_A_ROW, fix=fix)
    for override in overrides:
        _refuse_keys_of_the_study({override.partition("=")[0].strip()}, f"--set {override}")
    cells = []
    for seed in chosen:
        for name, row in study.rows.items():
            path = folder / cell_name(name, seed)
            layers = [
                Layer("every study", {"engine.workers": 1}),
                common,
                _layer(row.set, f"row {name} of the study"),
                Layer("the study", {"seed": seed, "run.dir": str(path)}),
            ]
            config = load_config(row.preset or preset or study.preset, None, overrides, layers=layers)
            cells.append(Cell(name, seed, path, config))
    _refuse_unknown_columns(study, cells)  # of all rows: each column is known to some
    return [cell for cell in cells if cell.row in wanted]


def _refuse_unknown_columns(study: Study, cells: Sequence[Cell]) -> None:
    """A column is a quantity that the methods of the cells report."""
    known = quantities_of(report for cell in cells for report in run_reports(cell.config))
    for column in study.columns:
        if column not in known:
            guess = nearest(column, list(known))
            what = f"unknown column {column}" + (f" (did you mean {guess}?)" if guess else "")
            raise ConfigError(what, where="columns of the study", fix=f"columns: {', '.join(known)}")


def state_of(cell: Cell) -> CellState:
    """How far a cell is, after a check that its folder holds this very run.

    A finished run may be older than a key: what its version did not know is not compared.

    Raises:
        RunError: the folder holds a run of another configuration, or a damaged one.
    """
    if not (cell.path / manifest.NAME).exists():
        return "missing"
    folder = RunRecords.open(cell.path)
    finished = folder.status == "finished"
    found, expected = values_by_key(folder.config), values_by_key(cell.config)
    compared = (_written_keys(cell) & expected.keys() if finished else expected.keys()) - _PLACES
    mine, theirs = ({key: x[key] for key in x if key in compared} for x in (expected, found))
    fix = "choose another folder with --dir, or move this one away"
    refuse_another(cell.path, theirs, mine, asked="the study says", fix=fix)
    return "finished" if finished else "unfinished"


def _written_keys(cell: Cell) -> set[str]:
    """The keys that stand in the configuration file of a cell's folder."""
    file = cell.path / settings.NAME
    layer = layer_of(parse_yaml(file.read_text(encoding="utf-8"), str(file)), str(file))
    return set(expanded(type(cell.config), layer).values)


def _study(text: str, source: str) -> Study:
    content = parse_yaml(text, source)
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        what = f"the study cannot be used: {place + ': ' if place else ''}{first['msg']}"
        optional = [name for name, field in Study.model_fields.items() if not field.is_required()]
        fix = f"a study has title, rows (name: {{title, preset, set}}) and optionally {', '.join(optional)}"
        raise ConfigError(what, where=source, fix=fix) from error
    for name in study.rows:
        if not _ROW_NAME.fullmatch(name) or re.search(r"-s[0-9]+$", name):
            what = f"a row cannot be called {name}: it names folders, and -s<seed> is added to it"
            raise ConfigError(
                what, where=source, fix="use small letters, digits and single hyphens; put words in title"
            )
    return study


def _layer(values: dict[str, Any], source: str) -> Layer:
    layer = layer_of(values, source)
    _refuse_keys_of_the_study(layer.values.keys(), source)
    return layer


def _refuse_keys_of_the_study(keys: Any, source: str) -> None:
    for key in keys:
        if key in _OF_THE_STUDY:
            raise ConfigError(f"{key} cannot be set for the cells of a study", where=source, fix=_OF_THE_STUDY[key])
