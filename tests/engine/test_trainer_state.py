"""What of a trainer is kept and taken up again: checkpoints, save points, and the weights it hands out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coevolve.engine.local.models import check_base_model
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.errors import EngineError, ModelError
from coevolve.types import Batch

from .plain_loss import near_policy, set_weights, some_rows, weights_of

Make = Callable[..., LocalTrainer]


@pytest.fixture
def make(tiny_folder: Path) -> Make:
    return lambda **options: LocalTrainer(tiny_folder, **options)


@pytest.mark.parametrize("fixture", ["tiny_folder", "tied_folder"])
def test_checkpoint_goes_on_bit_for_bit(fixture: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    base = request.getfixturevalue(fixture)
    one = LocalTrainer(base)
    rows = near_policy(one, some_rows())
    for _ in range(2):
        one.forward_backward(Batch(rows))
        one.step(1e-2)
    one.save(tmp_path / "checkpoint", optimizer=True)

    two = LocalTrainer(tmp_path / "checkpoint")
    two.load_optimizer(tmp_path / "checkpoint")
    three = LocalTrainer(base)
    set_weights(three, weights_of(one))
    three.load_optimizer(tmp_path / "checkpoint")
    for trainer in (one, two, three):
        trainer.forward_backward(Batch(rows))
        trainer.step(1e-2)
    expected = weights_of(one)
    for trainer in (two, three):
        found = weights_of(trainer)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[n], w) for n, w in expected.items())


@pytest.mark.parametrize("fixture", ["tiny_folder", "tied_folder"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_training_goes_on_from_its_state_as_if_nothing_had_been(
    fixture: str, steps: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base = request.getfixturevalue(fixture)
    one = LocalTrainer(base, weight_decay=0.1)
    rows = near_policy(one, some_rows())
    for n in range(steps):
        one.forward_backward(Batch(rows))
        one.step(1e-2 / (n + 1))
    one.save(tmp_path / "state", optimizer=True)
    two = LocalTrainer(base, weight_decay=0.1)
    two.forward_backward(Batch(rows))
    two.step(0.5)  # what it did before leaves no trace
    two.load(tmp_path / "state", optimizer=True)
    for name in ("at once", "a step later"):
        for trainer, folder in ((one, "one"), (two, "two")):
            trainer.save(tmp_path / name / folder, optimizer=True)
            trainer.forward_backward(Batch(rows))
            trainer.step(1e-2)
        files = sorted(path.name for path in (tmp_path / name / "one").iterdir())
        assert {"model.safetensors", "optimizer.pt"} <= set(files)
        for file in files:
            assert (tmp_path / name / "one" / file).read_bytes() == (tmp_path / name / "two" / file).read_bytes(), file


def test_a_state_of_another_model_or_a_damaged_one_is_refused(make: Make, tied_folder: Path, tmp_path: Path) -> None:
    faults = {
        "other": (EngineError, "names"),
        "weights": (ModelError, "damaged"),
        "moments": (EngineError, "cannot be read"),
        "absent": (ModelError, "no safetensors weights"),
    }
    LocalTrainer(tied_folder).save(tmp_path / "other", optimizer=True)
    for name, file in (("weights", "model.safetensors"), ("moments", "optimizer.pt")):
        make().save(tmp_path / name, optimizer=True)
        content = (tmp_path / name / file).read_bytes()
        (tmp_path / name / file).write_bytes(content[: len(content) // 2])
    for name, (kind, what) in faults.items():
        with pytest.raises(kind, match=what) as caught:
            make().load(tmp_path / name, optimizer=True)
        assert str(tmp_path / name) in caught.value.where or name == "other"


def test_checkpoint_is_a_model_folder_and_the_optimiser_is_optional(
    make: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trainer = make()
    trainer.save(tmp_path, optimizer=False)
    assert capfd.readouterr() == ("", "")
    check_base_model(tmp_path, required_text="abc 1.")
    with pytest.raises(EngineError, match=r"optimizer\.pt is missing"):
        trainer.load_optimizer(tmp_path)


def test_optimiser_of_another_model_is_refused(make: Make, tied_folder: Path, tmp_path: Path) -> None:
    other = LocalTrainer(tied_folder)
    other.save(tmp_path, optimizer=True)
    with pytest.raises(EngineError, match="another model"):
        make().load_optimizer(tmp_path)


def test_tied_weights_appear_under_both_names(tied_folder: Path) -> None:
    trainer = LocalTrainer(tied_folder)
    weights = weights_of(trainer)
    assert np.array_equal(weights["lm_head.weight"], weights["model.embed_tokens.weight"])
    rows = near_policy(trainer, some_rows())
    trainer.forward_backward(Batch(rows))
    trainer.step(1e-2)
    moved = weights_of(trainer)
    assert np.array_equal(moved["lm_head.weight"], moved["model.embed_tokens.weight"])
    assert not np.array_equal(moved["lm_head.weight"], weights["lm_head.weight"])


def test_weights_of_another_model_are_refused(make: Make) -> None:
    trainer = make()
    weights = weights_of(trainer)
    with pytest.raises(EngineError, match="names"):
        set_weights(trainer, {"other": weights["lm_head.weight"]})
    with pytest.raises(EngineError, match="shape"):
        set_weights(trainer, weights | {"lm_head.weight": weights["lm_head.weight"][:3]})


def test_state_is_a_copy(make: Make) -> None:
    trainer = make()
    weights_of(trainer)["lm_head.weight"][:] = 0
    assert weights_of(trainer)["lm_head.weight"].any()
