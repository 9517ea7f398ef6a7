"""A trainer whose gradients are made elsewhere: the updates are those of the local engine, each made once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coevolve.config import Config, TrainingSection
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.engine.tinker.connection import Connection, examined
from coevolve.engine.tinker.trainer import TinkerTrainer
from coevolve.errors import EngineError, ModelError
from coevolve.types import Batch

from ..plain_loss import near_policy, some_rows, weights_of
from .small_server import LORA, SmallServer, lose

pytest.importorskip("peft")
SETTINGS = Config(
    engine={"backend": "tinker"},  # type: ignore[arg-type]
    lora=LORA,
    tinker={"url": "http://127.0.0.1:1"},  # type: ignore[arg-type]
).engine_settings
SECTION = TrainingSection(max_grad_norm=100.0)


def connected(folder: Path, **how: object) -> tuple[SmallServer, Connection]:
    server = SmallServer(folder, **how)  # type: ignore[arg-type]
    connection = Connection(server, SETTINGS, "mean" if server.reduction == "mean" else "sum")
    return server, connection


def local(folder: Path, limit: float = 100.0) -> LocalTrainer:
    return LocalTrainer(folder, lora=LORA, max_grad_norm=limit, betas=(SECTION.beta1, SECTION.beta2))


def weights(server: SmallServer) -> dict[str, np.ndarray]:
    (adapter,) = server.adapters.values()
    return {name: value.detach().numpy().copy() for name, value in adapter.weights.items()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray], tolerance: float = 1e-4) -> bool:
    """The difference is that small beside what a step of 0.01 changes."""
    assert a.keys() == b.keys()
    return max(float(np.abs(a[name] - b[name]).max()) for name in a) < tolerance * 0.01


def a_batch(folder: Path, objective: str = "clipped") -> Batch:
    rows = near_policy(local(folder), some_rows())
    if objective == "clipped":
        return Batch(rows, kl=0.1, dual_clip=2.0)
    if objective == "likelihood":
        return Batch(rows, objective="likelihood")
    return Batch(rows, objective="preference", pairs=((0, 1), (2, 1), (3, 4)), beta=0.5)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("objective", ["clipped", "likelihood", "preference"])
def test_gradient_norm_and_update_are_those_of_the_local_engine(
    tiny_folder: Path, reduction: str, objective: str
) -> None:
    server, connection = connected(tiny_folder, reduction=reduction)
    batch, own, remote = a_batch(tiny_folder, objective), local(tiny_folder), TinkerTrainer(connection, SECTION)
    if batch.kl:
        own.set_reference(tiny_folder)
        remote.set_reference(None)
    for _ in range(2):  # in the second both matrices of an adapter have a gradient
        expected, found = own.forward_backward(batch), remote.forward_backward(batch)
        assert found.loss == pytest.approx(expected.loss, rel=1e-4)
        counts = ("tokens", "clipped_low", "clipped_high", "clipped_dual", "clipped_by_bin", "pairs", "preferred")
        assert [getattr(found, x) for x in counts] == [getattr(expected, x) for x in counts]
        assert remote.step(0.01) == pytest.approx(own.step(0.01), rel=1e-4)
    if batch.kl:
        server.release(remote._reference or "")
    assert same(weights(server), weights_of(own), 1e-2)  # Adam divides rounding errors by themselves where they are all


def test_the_direction_of_the_gradient_is_that_of_the_local_engine(tiny_folder: Path) -> None:
    _, connection = connected(tiny_folder, reduction="mean")
    batch, own = replace(a_batch(tiny_folder), kl=0.0), local(tiny_folder)
    own.forward_backward(batch)
    expected = {n: p.grad.clone() for n, p in own._trained.parameters.items() if p.grad is not None}
    found: dict[str, np.ndarray] = {}

    class Watched(SmallServer):
        def step(self, adapter: str, adam: object) -> float | None:
            count = self.adapters[adapter].examples
            found.update(
                {n: p.grad.numpy() / count for n, p in self.adapters[adapter].weights.items() if p.grad is not None}
            )
            return super().step(adapter, adam)  # type: ignore[arg-type]

    connection.server = Watched(tiny_folder, reduction="mean")
    remote = TinkerTrainer(connection, SECTION)
    remote.forward_backward(batch)
    remote.step(0.01)
    a = np.concatenate([expected[n].numpy().ravel() for n in sorted(expected)])
    b = np.concatenate([found[n].ravel() for n in sorted(expected)])
    assert np.linalg.norm(a - b) < 1e-4 * np.linalg.norm(a)


def test_a_gradient_above_the_clip_is_scaled_down_as_in_the_local_engine(tiny_folder: Path) -> None:
    server, connection = connected(tiny_folder)
    batch = replace(a_batch(tiny_folder), kl=0.0)
    own, remote = local(tiny_folder, limit=1e-3), TinkerTrainer(connection, TrainingSection(max_grad_norm=1e-3))
    own.forward_backward(batch)
    remote.forward_backward(batch)
    assert remote.step(0.01) == pytest.approx(own.step(0.01), rel=1e-4)
    assert same(weights(server), weights_of(own), 1e-2)
    assert len(server.adapters) == 1  # what was undone has given its place back


@pytest.mark.parametrize("fault", ["too large", "not a number"])
def test_an_update_above_the_limit_leaves_the_weights_as_they_are(tiny_folder: Path, fault: str) -> None:
    server, connection = connected(tiny_folder)
    remote, before = TinkerTrainer(connection, SECTION), None
    before, batch = weights(server), replace(a_batch(tiny_folder), kl=0.0)
    if fault == "not a number":
        step = server.step
        server.step = lambda adapter, adam: math.nan * (step(adapter, adam) or 1.0)  # type: ignore[method-assign]
    remote.forward_backward(batch)
    norm = remote.step(0.01, limit=1e-6)
    assert norm > 1e-6 or math.isnan(norm)
    assert same(weights(server), before, 1e-12)


@pytest.mark.parametrize("lost", [("step",), ("backward",), ("step", "backward")])
def test_an_update_whose_reply_was_lost_is_made_once(tiny_folder: Path, lost: tuple[str, ...]) -> None:
    server, connection = connected(tiny_folder)
    batch, own, remote = replace(a_batch(tiny_folder), kl=0.0), local(tiny_folder), TinkerTrainer(connection, SECTION)
    for trainer in (own, remote):
        trainer.forward_backward(batch)
    own.step(0.01)
    server.fault = lose(*lost)
    remote.step(0.01)
    assert same(weights(server), weights_of(own), 1e-2)


def test_a_server_that_never_replies_to_an_update_ends_in_a_clear_error(tiny_folder: Path) -> None:
    server, connection = connected(tiny_folder)
    remote = TinkerTrainer(connection, SECTION)
    before = weights(server)
    remote.forward_backward(replace(a_batch(tiny_folder), kl=0.0))
    server.fault = lose(*["step"] * 3)
    with pytest.raises(EngineError, match="3 attempts at an update were lost") as error:
        remote.step(0.01)
    assert "coevolve resume" in error.value.fix
    assert same(weights(server), before, 1e-12)


def test_a_trainer_goes_on_from_the_state_that_its_folder_names(tiny_folder: Path, tmp_path: Path) -> None:
    server, connection = connected(tiny_folder)
    batch, first = replace(a_batch(tiny_folder), kl=0.0), TinkerTrainer(connection, SECTION)
    first.forward_backward(batch)
    first.step(0.01)
    first.save(tmp_path, optimizer=True)
    first.forward_backward(batch)
    first.step(0.01)
    expected = weights(server)
    del first
    again = TinkerTrainer(connection, SECTION, tmp_path, optimizer=True)
    again.forward_backward(batch)
    again.step(0.01)
    assert same(weights(server), expected, 1e-6)


def test_a_folder_of_another_engine_is_refused(tiny_folder: Path) -> None:
    _, connection = connected(tiny_folder)
    with pytest.raises(ModelError, match="where a server keeps its weights"):
        TinkerTrainer(connection, SECTION, tiny_folder)


def test_places_of_adapters_are_given_back_with_the_trainer(tiny_folder: Path) -> None:
    server, connection = connected(tiny_folder)
    trainer = TinkerTrainer(connection, SECTION)
    trainer.set_reference(None)
    assert len(server.adapters) == 2
    del trainer
    assert not server.adapters


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_probe_finds_how_a_server_reduces_a_batch(tiny_folder: Path, reduction: str) -> None:
    server = SmallServer(tiny_folder, reduction=reduction)
    assert examined(server, SETTINGS, tiny_folder).reduction == reduction
    assert not server.adapters


Make = Callable[[Path], SmallServer]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda f: SmallServer(f, reduction="mean of each call"), "in two calls"),
        (lambda f: SmallServer(f, told_rank=8), "expected 4 .lora.rank.; found 8"),
        (lambda f: SmallServer(f, broken=True), "finite numbers"),
        (lambda f: SmallServer(f, shift=1), "the last one alone differs"),
        (lambda f: SmallServer(f, tells_norm=False), "the gradient norm"),
        (lambda f: SmallServer(f, fault=lose("step")), "connection was cut"),
    ],
)
def test_the_probe_refuses_what_it_does_not_know(tiny_folder: Path, make: Make, words: str) -> None:
    server = make(tiny_folder)
    with pytest.raises(EngineError, match=words):
        examined(server, SETTINGS, tiny_folder)
    assert not server.adapters


def test_a_reduction_that_the_configuration_does_not_expect_is_refused(tiny_folder: Path) -> None:
    settings = replace(SETTINGS, tinker=SETTINGS.tinker.model_copy(update={"reduction": "sum"}))
    with pytest.raises(EngineError, match=r"expected sum .tinker.reduction.; found mean"):
        examined(SmallServer(tiny_folder, reduction="mean"), settings, tiny_folder)
