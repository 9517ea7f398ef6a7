"""A sampler whose tokens are written elsewhere: segments end as those of every sampler, and weights are never stale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coevolve.engine.base import Folder, Handle, Pause, SampleRequest, Sampling, Snapshot
from coevolve.engine.tinker.sampler import TinkerSampler
from coevolve.engine.tinker.trainer import TinkerTrainer
from coevolve.errors import EngineError
from coevolve.types import Batch

from ..conftest import ALPHABET
from ..plain_loss import near_policy, some_rows
from .small_server import SmallServer
from .test_trainer import SECTION, connected, local


def opened(folder: Path, **how: object) -> tuple[SmallServer, TinkerSampler]:
    server, connection = connected(folder, **how)
    return server, TinkerSampler(connection, folder)


def ids(text: str) -> np.ndarray:
    return np.array([ALPHABET.index(x) for x in text], np.int32)


def test_a_segment_is_cut_behind_a_stop_string_and_goes_on_behind_what_is_appended(tiny_folder: Path) -> None:
    server, sampler = opened(tiny_folder, written=ids("abcdefghij"))
    sampler.submit(SampleRequest(3, ids("xy"), Sampling(max_tokens=8, stop=("cd",)), seed=1))
    assert sampler.active == 1
    (first,) = sampler.step()
    assert (first.id, first.tokens.tolist(), first.pause) == (3, ids("abcd").tolist(), Pause.STOP)
    assert len(first.logprobs) == 4
    assert sampler.active == 0
    sampler.extend(3, ids("z"))
    server.written = ids("abe")
    (second,) = sampler.step()
    assert second.pause is Pause.LENGTH
    assert len(second.tokens) == 3
    assert not sampler._living


def test_equal_seeds_give_equal_tokens_and_log_probabilities_of_the_weights(tiny_folder: Path) -> None:
    _, sampler = opened(tiny_folder)
    for id, seed in ((1, 5), (2, 5), (3, 6)):
        sampler.submit(SampleRequest(id, ids("abc"), Sampling(max_tokens=12), seed))
    a, b, c = sampler.step()
    assert a.tokens.tolist() == b.tokens.tolist() != c.tokens.tolist()
    assert np.array_equal(a.logprobs, b.logprobs)


def test_weights_that_have_moved_on_are_not_sampled_from(tiny_folder: Path) -> None:
    _, connection = connected(tiny_folder)
    trainer, sampler = TinkerTrainer(connection, SECTION), TinkerSampler(connection, tiny_folder)
    before = trainer.snapshot("solver-1", 0)
    sampler.load_weights(before)
    trainer.forward_backward(Batch(near_policy(local(tiny_folder), some_rows())))
    trainer.step(0.01)
    with pytest.raises(EngineError, match="already changed"):
        sampler.load_weights(before)
    sampler.load_weights(trainer.snapshot("solver-1", 1))
    assert sampler.policy_version == 1
    assert isinstance(before.source, Handle)


def test_an_older_policy_has_a_place_of_its_own_until_other_weights_come(tiny_folder: Path, tmp_path: Path) -> None:
    server, connection = connected(tiny_folder)
    trainer, sampler = TinkerTrainer(connection, SECTION), TinkerSampler(connection, tiny_folder)
    trainer.save(tmp_path, optimizer=False)
    sampler.load_weights(Snapshot("solver-1", -1, Folder(tmp_path, adapter=True)))
    assert len(server.adapters) == 2
    sampler.load_weights(Snapshot("base", -1, Folder(tiny_folder)))
    assert len(server.adapters) == 1
    sampler.load_weights(trainer.snapshot("solver-2", 0))
    assert len(server.adapters) == 1


def test_a_server_that_ends_early_is_refused(tiny_folder: Path) -> None:
    _, sampler = opened(tiny_folder)
    sampler.submit(SampleRequest(1, ids("abc"), Sampling(max_tokens=12), 0))
    sampler._living[1].limit = 99
    with pytest.raises(EngineError, match="ended a sequence"):
        sampler.step()
