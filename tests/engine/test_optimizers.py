"""AdamW with moments of 8 bits, against AdamW itself and across breaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from coevolve.config import LoraSection
from coevolve.engine.local.optimizers import new_optimizer
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.errors import ConfigError, EngineError
from coevolve.types import Batch, TrainRow

from .plain_loss import set_weights, weights_of

SIZE = 8192  # above the 4,096 numbers from which on moments have 8 bits
LORA = LoraSection(enabled=True, rank=128, targets=["q_proj", "up_proj"])


def rows(seed: int) -> tuple[TrainRow, ...]:
    random = np.random.default_rng(seed)
    made = []
    for _ in range(3):
        weight = np.full(16, 0.02, np.float32)
        weight[:3] = 0
        full = [np.full(16, value, np.float32) for value in (-3.6, random.normal(), 0.2, 0.3)]
        made.append(TrainRow(random.integers(0, 39, 16).astype(np.int32), *full, weight, full[0]))
    return tuple(made)


def train(trainer: LocalTrainer, steps: int, first: int = 0) -> None:
    for step in range(steps):
        trainer.forward_backward(Batch(rows(first + step)))
        trainer.step(1e-2)


def eight_bit(folder: Path, steps: int = 0, **options: object) -> LocalTrainer:
    trainer = LocalTrainer(folder, optimizer="adamw-8bit", lora=LORA, **options)  # type: ignore[arg-type]
    train(trainer, steps)
    return trainer


def test_the_moments_have_8_bits_and_the_weights_go_where_adamw_takes_them() -> None:
    exact, small = (nn.Parameter(torch.linspace(-1, 1, SIZE).view(64, 128)) for _ in range(2))
    draw = torch.Generator().manual_seed(0)
    optimizers = [
        new_optimizer(kind, [parameter], betas=(0.9, 0.99), weight_decay=0.1)  # type: ignore[arg-type]
        for kind, parameter in (("adamw", exact), ("adamw-8bit", small))
    ]
    start = exact.detach().clone()
    for _ in range(30):
        gradient = torch.randn(exact.shape, generator=draw) + exact.detach()
        for parameter, optimizer in zip((exact, small), optimizers, strict=True):
            parameter.grad = gradient.clone()
            for group in optimizer.param_groups:
                group["lr"] = 1e-2
            optimizer.step()
    moved, apart = exact.detach() - start, small.detach() - exact.detach()
    assert float(apart.norm() / moved.norm()) < 0.05
    state = optimizers[1].state[small]
    assert {state["state1"].dtype, state["state2"].dtype} == {torch.uint8}
    sizes = []
    for optimizer, parameter in zip(optimizers, (exact, small), strict=True):
        own = {name: x for name, x in optimizer.state[parameter].items() if isinstance(x, torch.Tensor)}
        sizes.append(sum(x.numel() * x.element_size() for name, x in own.items() if not name.startswith("qmap")))
    assert sizes[1] < 0.27 * sizes[0]


@pytest.mark.parametrize("steps", [0, 2])
def test_training_goes_on_byte_for_byte(steps: int, tiny_folder: Path, tmp_path: Path) -> None:
    one = eight_bit(tiny_folder, steps)
    small = [s["state1"].dtype for s in one._optimizer.state.values()]
    assert (torch.uint8 in small) == bool(steps)
    one.save(tmp_path / "state", optimizer=True)
    two = eight_bit(tiny_folder, 1, seed=3)
    two.load(tmp_path / "state", optimizer=True)
    for name, trainer in (("one", one), ("two", two)):
        trainer.save(tmp_path / name / "at once", optimizer=True)
        train(trainer, 2, first=5)
        trainer.save(tmp_path / name / "later", optimizer=True)
    three = eight_bit(tiny_folder)
    set_weights(three, weights_of(one))
    three.load_optimizer(tmp_path / "one/later")
    three.save(tmp_path / "three", optimizer=True)
    train(one, 1)
    train(three, 1)
    for when in ("at once", "later"):
        for file in (tmp_path / "one" / when).iterdir():
            assert (tmp_path / "two" / when / file.name).read_bytes() == file.read_bytes(), (when, file.name)
    ours, theirs = weights_of(one), weights_of(three)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_state_of_the_other_kind_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    eight_bit(tiny_folder, 1).save(tmp_path, optimizer=True)
    with pytest.raises(EngineError, match="that of adamw-8bit, not of adamw"):
        LocalTrainer(tiny_folder, lora=LORA).load_optimizer(tmp_path)


def test_the_missing_package_is_named(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coevolve.engine.local.optimizers.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="bitsandbytes") as caught:
        eight_bit(tiny_folder)
    assert "coevolve[8bit]" in caught.value.fix
