"""When memory runs out, and how little of it the trainer asks for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from torch.utils._python_dispatch import TorchDispatchMode

from coevolve.config import LoraSection
from coevolve.engine.local import trainer as module
from coevolve.engine.local.packing import MicroBatch, pack, scored_tokens
from coevolve.engine.local.scoring import Tally
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.errors import EngineError
from coevolve.learning.guard import UpdateGuard
from coevolve.rollout.policy import Policy
from coevolve.types import Batch, TrainRow

from .plain_loss import weights_of

FAULTS = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    "cpu": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
    ),
}


def rows(count: int = 8, seed: int = 0, length: int = 20) -> tuple[TrainRow, ...]:
    random = np.random.default_rng(seed)
    made = []
    for i in range(count):
        size = length + i
        weight = np.full(size, 0.02, np.float32)
        weight[:3] = 0
        full = [np.full(size, value, np.float32) for value in (-3.6, random.normal(), 0.2, 0.3)]
        made.append(TrainRow(random.integers(0, 39, size).astype(np.int32), *full, weight, full[0]))
    return tuple(made)


def limit_memory(monkeypatch: pytest.MonkeyPatch, tokens: int, fault: Callable[[], Exception]) -> list[int]:
    """Passes of more row tokens than these fail, at the end of their forward pass; returns the sizes of all passes."""
    asked: list[int] = []
    real = module.hidden_states

    def hidden_states(model: torch.nn.Module, micro: MicroBatch, device: torch.device) -> torch.Tensor:
        asked.append(micro.row_tokens)
        states = real(model, micro, device)
        if micro.row_tokens > tokens:
            raise fault()
        return states

    monkeypatch.setattr(module, "hidden_states", hidden_states)
    return asked


def gradients(trainer: LocalTrainer) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("lora", [None, LoraSection(enabled=True, rank=2)], ids=["whole", "adapter"])
def test_a_batch_is_done_again_in_halves_as_if_they_had_been_asked_for(
    kind: str, lora: LoraSection | None, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    untouched, small, other = (LocalTrainer(tiny_folder, lora=lora, on_halved=told.append) for _ in range(3))
    batch = Batch(rows())
    expected = untouched.forward_backward(batch)
    asked = limit_memory(monkeypatch, 60, FAULTS[kind])
    stats = small.forward_backward(batch)
    assert stats.halvings == len(told) == 2
    assert small.micro_batch_tokens == told[-1] < 60
    assert max(asked[-4:]) <= 60
    assert stats.loss == pytest.approx(expected.loss, abs=1e-6)
    for name, value in gradients(untouched).items():
        torch.testing.assert_close(gradients(small)[name], value, rtol=1e-4, atol=1e-6)
    other.micro_batch_tokens = told[-1]
    assert other.forward_backward(batch).halvings == 0
    for name, value in gradients(other).items():
        assert torch.equal(gradients(small)[name], value), "exactly what this size gives from the start"
    small.discard()
    assert small.forward_backward(batch).halvings == 0, "the smaller size stays"


def test_scores_survive_a_shortage_as_well(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = LocalTrainer(tiny_folder)
    expected = trainer.logprobs(rows())
    limit_memory(monkeypatch, 60, FAULTS["cuda"])
    for a, b in zip(expected, trainer.logprobs(rows()), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert trainer.micro_batch_tokens < 60


def test_memory_for_less_than_one_text_ends_with_an_error_that_moved_nothing(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = LocalTrainer(tiny_folder)
    before = weights_of(trainer)
    limit_memory(monkeypatch, 10, FAULTS["cuda"])
    with pytest.raises(EngineError, match="a single text of 26 tokens") as caught:
        trainer.forward_backward(Batch(rows()))
    assert "engine.checkpointing" in caught.value.fix
    assert not gradients(trainer)
    assert all(np.array_equal(before[n], w) for n, w in weights_of(trainer).items())


def test_other_errors_are_not_taken_for_a_shortage(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 10, lambda: RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes"):
        LocalTrainer(tiny_folder).forward_backward(Batch(rows()))


def test_a_gradient_of_an_earlier_call_is_not_lost_silently(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = LocalTrainer(tiny_folder)
    trainer.forward_backward(Batch(rows()))
    limit_memory(monkeypatch, 60, FAULTS["cuda"])
    with pytest.raises(EngineError, match="later part of a batch"):
        trainer.forward_backward(Batch(rows()))


def test_no_room_for_the_moments_is_named(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = LocalTrainer(tiny_folder)
    trainer.forward_backward(Batch(rows()))

    def full(*_: object) -> None:
        raise FAULTS["cuda"]()

    monkeypatch.setattr(trainer._optimizer, "step", full)
    with pytest.raises(EngineError, match="optimiser's step"):
        trainer.step(1e-3)


def test_the_size_that_fitted_is_part_of_what_a_policy_is_taken_up_with(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def policy() -> Policy:
        return Policy("p", LocalTrainer(tiny_folder), tolerance=1e-5, guard=UpdateGuard(20.0, 5))

    first, second = policy(), policy()
    with monkeypatch.context() as patch:
        limit_memory(patch, 60, FAULTS["cuda"])
        assert first.update([Batch(rows())], [1e-3])[0].halvings == 2
    first.save_state(tmp_path / "state")
    second.load_state(tmp_path / "state", first.extra_state())
    for one in (first, second):
        one.update([Batch(rows(seed=1))], [1e-3])
        one.save(tmp_path / f"{id(one)}", optimizer=False)
    files = [tmp_path / f"{id(one)}" / "model.safetensors" for one in (first, second)]
    assert files[0].read_bytes() == files[1].read_bytes()


class Largest(TorchDispatchMode):
    """The largest tensor that any operation makes, in elements, backward passes included."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return out


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer with a vocabulary of the size of Qwen3's, and its padding."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    folder = tmp_path_factory.mktemp("wide")
    config = Qwen3Config(
        vocab_size=151_936, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, head_dim=8, tie_word_embeddings=True, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(str(folder))
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(151_669)}, unk_token="w0"))
    words.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("lora", [None, LoraSection(enabled=True, rank=2)], ids=["whole", "adapter"])
def test_logits_of_all_tokens_never_exist_at_once(wide_folder: Path, lora: LoraSection | None) -> None:
    """Loss, entropy, reference and scores of 247 tokens over 151,936 words: 37.5 million logits, in parts."""
    trainer = LocalTrainer(wide_folder, lora=lora)
    trainer.set_reference()
    batch = Batch(rows(1, length=250), kl=0.1)
    with Largest() as largest:
        trainer.forward_backward(batch)
        trainer.logprobs(batch.rows)
    allowed = max(module.LOGITS, 151_936 * 8)  # the matrix itself has a gradient
    assert 0.9 * allowed < largest.elements <= allowed


def test_checkpoints_give_the_same_gradient_from_fewer_kept_numbers(tiny_folder: Path) -> None:
    kept: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[-1] += tensor.numel()
        return tensor

    found = []
    for checkpointing in (False, True):
        trainer = LocalTrainer(tiny_folder, checkpointing=checkpointing, dtype="float64")
        trainer.set_reference()
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            stats = trainer.forward_backward(Batch(rows(), kl=0.1))
        found.append((stats, gradients(trainer)))
    assert found[0][0] == found[1][0]
    for name, value in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], value, rtol=1e-6, atol=1e-6)
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.parametrize("lora", [None, LoraSection(enabled=True, rank=2)], ids=["whole", "adapter"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_pass_brings_no_tensor_of_main_memory_along_and_waits_for_no_number(
    lora: LoraSection | None, checkpointing: bool, tiny_folder: Path
) -> None:
    """On the device that holds no numbers, both are errors: a tensor of another device, and a number that is read."""
    trainer = LocalTrainer(tiny_folder, lora=lora, checkpointing=checkpointing)
    nowhere = torch.device("meta")
    trainer.model.to(nowhere)
    trainer._device = nowhere
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    trainer._trained.parameters = dict(zip(trainer._trained.parameters, trained, strict=True))
    trainer.set_reference()
    batch = Batch(rows(), kl=0.1)
    (micro,) = pack([row.tokens for row in batch.rows], [scored_tokens(row) for row in batch.rows], 10_000)
    trainer._micro_step(batch, micro, Tally(batch.bins, nowhere))
    assert {p.grad.device for p in trained if p.grad is not None} == {nowhere}
    assert all(p.grad is not None for p in trained)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        Tally(1, nowhere).stats()  # this one does read


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from coevolve.engine.local.runtime import use_threads
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.types import Batch, TrainRow

use_threads(1)
trainer = LocalTrainer(Path(sys.argv[1]), micro_batch_tokens=1 << 20)
draw, rows = np.random.default_rng(0), []
for _ in range(300):
    weight = np.full(250, 0.001, np.float32)
    weight[0] = 0
    full = [np.full(250, value, np.float32) for value in (-3.6, draw.normal(), 0.2, 0.3)]
    rows.append(TrainRow(draw.integers(0, 39, 250).astype(np.int32), *full, weight, full[0]))
trainer.forward_backward(Batch(tuple(rows[:2])))  # everything is loaded that ever will be
trainer.discard()
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (160 << 20), resource.RLIM_INFINITY))
stats = trainer.forward_backward(Batch(tuple(rows)))
print(stats.halvings, trainer.micro_batch_tokens, stats.tokens, trainer.step(1e-3) > 0)
"""


def test_memory_that_really_runs_out(tiny_folder: Path) -> None:
    """A process that may have 160 MB more, and a batch whose one pass needs several times that."""
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tiny_folder)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    halvings, size, tokens, moved = ended.stdout.split()
    assert int(halvings) >= 1
    assert int(size) <= 300 * 249 // 2
    assert (int(tokens), moved) == (300 * 249, "True")
