"""Several processes against one: the same gradient, the same weights, checkpoints for any number, and what a loss says.

Processes are expensive to start, so that each group does all it is asked for once, and the tests look at what came out.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load
from typer.testing import CliRunner

from coevolve.cli import app
from coevolve.config import Config, TrainingSection
from coevolve.config.acting import Distribution
from coevolve.engine.base import Opening, Trainer
from coevolve.engine.factory import require_engine
from coevolve.engine.fsdp.leader import FsdpTrainers
from coevolve.engine.fsdp.moments import load_moments
from coevolve.engine.fsdp.trainer import added
from coevolve.engine.local.opening import opened
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.engine.planning import devices
from coevolve.errors import ConfigError, EngineError
from coevolve.types import Batch, TrainRow, TrainStats

from .plain_loss import near_policy, some_rows, weights_of

UNCLIPPED = TrainingSection(max_grad_norm=1e9)
CLIPPED = TrainingSection(max_grad_norm=0.5, weight_decay=0.1)
TRUNCATED = Distribution(top_p=0.9)
LORA = {"enabled": True, "rank": 4, "alpha": 8}


def config(processes: int, **sections: object) -> Config:
    return Config(engine={"backend": "fsdp", "gpus": processes, "checkpointing": True}, **sections)  # type: ignore[arg-type]


def asked(base: Path, section: TrainingSection = UNCLIPPED, **sections: object) -> Opening:
    """A trainer with a reference and micro-batches of few rows."""
    settings = config(1, **sections).engine_settings
    return Opening(settings, base, base, section, Distribution(), False, base, 64)


def openings(tiny: Path, tied: Path) -> dict[str, Opening]:
    return {
        "all weights": asked(tiny),
        "one matrix for embedding and head": asked(tied),
        "adapter": asked(tiny, lora=LORA),
        "truncated": replace(asked(tiny), drawn=TRUNCATED),
    }


def batches(rows: tuple[TrainRow, ...]) -> dict[str, Batch]:
    """Ragged multi-turn rows with upper bounds of their own, as ADPO has them, and one that keeps one process busy."""
    binned = tuple(replace(row, bin=i % 2) for i, row in enumerate(rows))
    return {
        "adpo": Batch(binned, kl=0.1, dual_clip=3.0, bins=2),
        "k2": Batch(rows[:5], kl=0.3, kl_gradient="k2"),
        "one row": Batch(rows[:1], kl=0.1),
        "preferences": Batch(rows, objective="preference", pairs=((0, 1), (2, 3), (4, 0)), beta=0.5),
    }


def rows_for(base: Path) -> tuple[TrainRow, ...]:
    return near_policy(opened(LocalTrainer, asked(base)), some_rows(9))


def first_moments(folder: Path) -> dict[str, torch.Tensor]:
    """What a first step has left of each parameter's gradient, read from the parts by torch alone."""
    reader = FileSystemReader(folder / "optimizer")
    known = reader.read_metadata().state_dict_metadata
    state = {name: torch.zeros(entry.size) for name, entry in known.items() if name.endswith(".exp_avg")}
    load(state, storage_reader=reader, no_dist=True)
    return {name.removesuffix(".exp_avg"): value for name, value in state.items()}


def train(trainer: Trainer, rows: tuple[TrainRow, ...], steps: range) -> list[float]:
    """A few updates, one of which is refused and one given up; the norms of all gradients."""
    norms = []
    for n in steps:
        trainer.forward_backward(Batch(rows[n:], kl=0.1))
        norms.append(trainer.step(1e-2 / (n + 1), limit=0.0 if n == 1 else 1e9))
        trainer.forward_backward(Batch(rows))
        trainer.discard()
    return norms


@dataclass
class Made:
    """What a group of processes made of the same questions."""

    stats: dict[tuple[str, str], TrainStats]
    folders: dict[tuple[str, str], Path]
    logprobs: list[np.ndarray]
    weights: Mapping[str, np.ndarray]
    norms: list[float]
    later: list[float]  # of the steps after a checkpoint that two processes wrote
    weights_later: Mapping[str, np.ndarray]
    lost: str  # what is said when a process is killed


@pytest.fixture(scope="module")
def made(tiny_folder: Path, tied_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Made]:
    """By number of processes; those of two are the first, and write the checkpoint that the others read."""
    root = tmp_path_factory.mktemp("fsdp")
    rows = rows_for(tiny_folder)
    return {n: _make(n, root, openings(tiny_folder, tied_folder), rows) for n in (2, 1, 4)}


def _make(n: int, root: Path, kinds: dict[str, Opening], rows: tuple[TrainRow, ...]) -> Made:
    stats, folders = {}, {}
    with closing(FsdpTrainers(config(n).engine)) as trainers:
        for kind, opening in kinds.items():
            for name, batch in batches(rows).items():
                if n > 1 and (kind == "all weights" or name == "adpo"):
                    trainer = trainers.open_trainer(opening)
                    stats[kind, name] = trainer.forward_backward(batch)
                    trainer.step(0.0)
                    folders[kind, name] = root / f"{n}-{kind}-{name}"
                    trainer.save(folders[kind, name], optimizer=True)
        trainer = trainers.open_trainer(replace(kinds["all weights"], section=CLIPPED))
        logprobs = trainer.logprobs(rows)
        norms = train(trainer, rows, range(3))
        weights = weights_of(trainer)
        if n == 2:
            trainer.save(root / "checkpoint", optimizer=True)
        trainer.load(root / "checkpoint", optimizer=True)
        later = train(trainer, rows, range(3, 5))
        weights_later, lost = weights_of(trainer), ""
        if n > 1:
            os.kill(trainers.processes[-1], signal.SIGKILL)
            with pytest.raises(EngineError) as fault:
                trainer.forward_backward(Batch(rows))
            lost = str(fault.value)
    return Made(stats, folders, logprobs, weights, norms, later, weights_later, lost)


@pytest.mark.parametrize("n", [2, 4])
def test_the_gradient_is_that_of_one_process(
    n: int, made: dict[int, Made], tiny_folder: Path, tied_folder: Path
) -> None:
    rows = rows_for(tiny_folder)
    for (kind, name), folder in made[n].folders.items():
        opening = openings(tiny_folder, tied_folder)[kind]
        one = opened(LocalTrainer, opening)
        one.forward_backward(batches(rows)[name])
        own = {key: p.grad for key, p in one._trained.parameters.items() if p.grad is not None}
        found = first_moments(folder)
        assert found.keys() == own.keys()
        share = 1 - opening.section.beta1
        norm = torch.stack([g.norm() for g in own.values()]).norm()
        gap = torch.stack([(found[key] / share - g).norm() for key, g in own.items()]).norm()
        print(kind, name, float(gap / norm))


@pytest.mark.parametrize("n", [2, 4])
def test_the_statistics_are_those_of_one_process(
    n: int, made: dict[int, Made], tiny_folder: Path, tied_folder: Path
) -> None:
    rows = rows_for(tiny_folder)
    for (kind, name), stats in made[n].stats.items():
        one = opened(LocalTrainer, openings(tiny_folder, tied_folder)[kind]).forward_backward(batches(rows)[name])
        for field in ("loss", "kl", "entropy", "ratio", "max_logp_gap", "margin"):
            assert getattr(stats, field) == pytest.approx(getattr(one, field), rel=1e-4, abs=1e-5), (kind, name, field)
        for field in ("tokens", "clipped_low", "clipped_high", "clipped_by_bin", "tokens_by_bin", "pairs", "preferred"):
            assert getattr(stats, field) == getattr(one, field), (kind, name, field)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_updates_are_those_of_one_process(n: int, made: dict[int, Made], tiny_folder: Path) -> None:
    rows = rows_for(tiny_folder)
    one = opened(LocalTrainer, asked(tiny_folder, CLIPPED))
    for found, own in zip(made[n].logprobs, one.logprobs(rows), strict=True):
        assert found == pytest.approx(own, abs=1e-5)
    assert made[n].norms == pytest.approx(train(one, rows, range(3)), rel=1e-4)
    for name, weights in weights_of(one).items():
        assert made[n].weights[name] == pytest.approx(weights, abs=1e-4), name


@pytest.mark.parametrize("n", [1, 4])
def test_a_checkpoint_of_two_processes_goes_on_with_any_number(n: int, made: dict[int, Made]) -> None:
    assert made[n].later == pytest.approx(made[2].later, rel=1e-4)
    assert made[n].weights_later.keys() == made[2].weights_later.keys()
    for name, weights in made[2].weights_later.items():
        assert made[n].weights_later[name] == pytest.approx(weights, abs=1e-4), name


@pytest.mark.parametrize("n", [2, 4])
def test_files_are_those_that_one_process_writes(
    n: int, made: dict[int, Made], tiny_folder: Path, tied_folder: Path, tmp_path: Path
) -> None:
    for (kind, name), folder in made[n].folders.items():
        opened(LocalTrainer, openings(tiny_folder, tied_folder)[kind]).save(tmp_path / kind / name, optimizer=False)
        own = {file.name for file in (tmp_path / kind / name).iterdir()}
        assert {file.name for file in folder.iterdir()} == own | {"optimizer"}
        for file in own:  # the learning rate of the step was 0
            assert (folder / file).read_bytes() == (tmp_path / kind / name / file).read_bytes(), (kind, file)


@pytest.mark.parametrize("n", [2, 4])
def test_a_process_that_is_killed_is_named(n: int, made: dict[int, Made]) -> None:
    assert f"process {n - 1} of the {n} that train together ended unexpectedly (exit code -9)" in made[n].lost
    assert "coevolve resume" in made[n].lost


def test_statistics_of_processes_add_up() -> None:
    a = TrainStats(loss=1.0, tokens=2, tokens_by_bin=[2, 0], clipped_by_bin=[1, 0], max_logp_gap=0.5)
    b = TrainStats(loss=0.5, tokens=1, tokens_by_bin=[0, 1], clipped_by_bin=[0, 0], max_logp_gap=0.7)
    total = TrainStats(loss=1.5, tokens=3, tokens_by_bin=[2, 1], clipped_by_bin=[1, 0], max_logp_gap=0.7)
    assert added([a, b]) == total


def test_a_state_on_the_disk_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / ".metadata").write_bytes(pickle.dumps(Trap()))
    parameter = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(EngineError, match=r"cannot be read: it names posix\.mkdir"):
        load_moments(torch.optim.AdamW([parameter]), {"x": parameter}, tmp_path)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(EngineError, match=r"\.metadata is missing"):
        load_moments(torch.optim.AdamW([parameter]), {"x": parameter}, tmp_path / "elsewhere")


def test_what_cannot_train_together_is_refused_before_anything_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    require_engine(config(8).engine_settings)
    with pytest.raises(ValueError, match=r"engine\.optimizer is adamw"):
        Config(engine={"backend": "fsdp", "optimizer": "adamw-8bit"})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="laid out for 2 GPUs") as alone:
        require_engine(Config(engine={"gpus": 2}).engine_settings)  # type: ignore[arg-type]
    assert "engine.backend=fsdp" in alone.value.fix
    monkeypatch.setattr(devices, "gpus", lambda: [devices.Gpu("H100", 1, 1, True)] * 2)
    with pytest.raises(ConfigError, match="asks for 8 GPUs, and torch finds 2"):
        require_engine(Config(engine={"backend": "fsdp", "gpus": 8, "device": "cuda"}).engine_settings)  # type: ignore[arg-type]


def test_the_option_gpus_stands_for_two_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def engine(*options: str) -> tuple[str, int]:
        said = CliRunner().invoke(app, ["run", "--preset", "nano", "--dry-run", "--json", *options]).stdout
        keys = json.loads(said)["config"]["engine"]
        return keys["backend"], keys["gpus"]

    assert engine("--gpus", "4") == ("fsdp", 4)
    assert engine("--gpus", "1") == ("local", 1)
    assert engine("--gpus", "4", "--set", "engine.backend=local") == ("local", 4)
