"""The local sampler against transformers' own forward pass and generate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from coevolve.engine.base import Arrays, Completion, Folder, Handle, Pause, SampleRequest, Sampling, Snapshot
from coevolve.engine.local.drawing import draw, truncate, uniforms
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.engine.stops import StopStrings
from coevolve.errors import EngineError, ModelError
from coevolve.types import Ints

from .plain_loss import set_weights, weights_of

WORDS = ["<eos>", "a", "b", "c", "d", "stop", "st", "op", *[f"w{i}" for i in range(24)]]

ON_BOTH_CACHES = pytest.mark.parametrize("static", [False, True], ids=["growing", "static"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=32, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=256, tie_word_embeddings=False, eos_token_id=0,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config)
    for p in model.parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.4)  # a peaked model, so that mistakes show
    model.save_pretrained(path)
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>").save_pretrained(path)
    return path


def prompt(*ids: int) -> Ints:
    return np.array(ids, np.int32)


def finish(sampler: LocalSampler) -> dict[int, Completion]:
    out: dict[int, Completion] = {}
    while sampler.active:
        out.update({c.id: c for c in sampler.step()})
    return out


def reference_logprobs(folder: Path, tokens: Ints) -> np.ndarray:
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        logp = model(torch.tensor(tokens[None].astype(np.int64))).logits[0, :-1].log_softmax(-1)
    return logp.gather(-1, torch.tensor(tokens[1:, None].astype(np.int64)))[:, 0].numpy()


@ON_BOTH_CACHES
def test_logprobs_equal_a_full_forward_pass_for_ragged_prompts_and_late_admission(folder: Path, static: bool) -> None:
    sampler = LocalSampler(folder, max_rows=4, static=static)
    prompts = {i: prompt(*(1 + (np.arange(3 + 5 * (i % 4)) * (i + 3)) % 30)) for i in range(11)}
    for i, p in prompts.items():
        sampler.submit(SampleRequest(i, p, Sampling(max_tokens=20 + i), seed=i))
    done = finish(sampler)
    assert set(done) == set(prompts)
    for i, c in done.items():
        expected = reference_logprobs(folder, np.concatenate([prompts[i], c.tokens]))[len(prompts[i]) - 1 :]
        np.testing.assert_allclose(c.logprobs, expected, atol=1e-5)
        assert c.pause is (Pause.EOS if c.tokens[-1] == 0 else Pause.LENGTH)
        assert len(c.tokens) == 20 + i or c.tokens[-1] == 0


@ON_BOTH_CACHES
def test_greedy_equals_generate(folder: Path, static: bool) -> None:
    sampler = LocalSampler(folder, static=static)
    model = AutoModelForCausalLM.from_pretrained(folder)
    for i, p in enumerate([prompt(1, 2, 3), prompt(9, 8, 7, 6, 5)]):
        sampler.submit(SampleRequest(i, p, Sampling(temperature=0.0, max_tokens=15), seed=0))
        ours = finish(sampler)[i].tokens
        theirs = model.generate(torch.tensor(p[None].astype(np.int64)), max_new_tokens=15, do_sample=False)[0, len(p) :]
        np.testing.assert_array_equal(ours, theirs[: len(ours)].numpy())


@ON_BOTH_CACHES
def test_an_extended_sequence_keeps_its_past(folder: Path, static: bool) -> None:
    sampler = LocalSampler(folder, max_rows=8, static=static)
    for i in range(6):
        sampler.submit(SampleRequest(i, prompt(1, 2, 3), Sampling(max_tokens=60, stop=("w1", "w5", "b")), seed=i))
    history = {i: [1, 2, 3] for i in range(6)}
    sampled: dict[int, list[tuple[int, float]]] = {i: [] for i in range(6)}
    rounds = 0
    while sampler.active:
        for c in sampler.step():
            for token, logp in zip(c.tokens, c.logprobs, strict=True):
                sampled[c.id].append((len(history[c.id]), float(logp)))
                history[c.id].append(int(token))
            if c.pause is Pause.STOP and len(history[c.id]) < 50:
                sampler.extend(c.id, prompt(7, 8, 9, 10)[: 1 + c.id % 4])
                history[c.id] += [7, 8, 9, 10][: 1 + c.id % 4]
                rounds += 1
            elif c.pause is Pause.STOP:
                sampler.release(c.id)
    assert rounds > 5
    for i, tokens in history.items():
        expected = reference_logprobs(folder, np.array(tokens, np.int32))
        np.testing.assert_allclose([v for _, v in sampled[i]], [expected[at - 1] for at, _ in sampled[i]], atol=1e-5)


@ON_BOTH_CACHES
def test_sequences_that_are_released_before_their_end_leave_the_others_as_they_are(folder: Path, static: bool) -> None:
    def run(given_up: bool) -> dict[int, list[int]]:
        sampler = LocalSampler(folder, max_rows=4, static=static)
        tokens: dict[int, list[int]] = {}
        for i in range(8):  # the last four wait for a slot
            stop = ("w1", "w5", "b") if i == 1 else ()
            sampler.submit(SampleRequest(i, prompt(1, 2, 3), Sampling(max_tokens=40, stop=stop), seed=i))
        while sampler.active:
            for c in sampler.step():
                tokens.setdefault(c.id, []).extend(c.tokens.tolist())
                if c.pause is Pause.STOP:
                    sampler.extend(c.id, prompt(7))
                    if given_up:
                        sampler.release(c.id)  # it would have gone on
            if given_up and 0 not in tokens and 5 not in tokens:
                for i in (0, 5):  # one that decodes, one that waits
                    sampler.release(i)
                    tokens[i] = []
        return tokens

    whole, rest = run(False), run(True)
    assert {i: rest[i] for i in (2, 3, 4, 6, 7)} == {i: whole[i] for i in (2, 3, 4, 6, 7)}
    assert (rest[0], rest[5]) == ([], [])
    assert len(rest[1]) < len(whole[1])


@ON_BOTH_CACHES
def test_a_sequence_that_goes_on_after_a_pause_is_the_one_that_never_paused(folder: Path, static: bool) -> None:
    def run(stop: tuple[str, ...]) -> tuple[dict[int, list[int]], dict[int, list[float]], int]:
        sampler, pauses = LocalSampler(folder, max_rows=8, static=static), 0
        tokens: dict[int, list[int]] = {i: [] for i in range(12)}
        logprobs: dict[int, list[float]] = {i: [] for i in range(12)}
        for i in range(12):
            sampler.submit(SampleRequest(i, prompt(1, 2, 3), Sampling(max_tokens=40, stop=stop), seed=i))
        while sampler.active:
            for c in sampler.step():
                tokens[c.id] += c.tokens.tolist()
                logprobs[c.id] += c.logprobs.tolist()
                if c.pause is Pause.STOP and len(tokens[c.id]) < 40:
                    sampler.extend(c.id, prompt())
                    pauses += 1
                elif c.pause is Pause.STOP:
                    sampler.release(c.id)
        return tokens, logprobs, pauses

    whole, whole_logprobs, none = run(())
    paused, paused_logprobs, pauses = run(("w1", "b"))
    assert none == 0
    assert pauses > 20
    assert paused == whole
    for i in whole:
        np.testing.assert_allclose(paused_logprobs[i], whole_logprobs[i], atol=1e-5)


@ON_BOTH_CACHES
def test_a_short_newcomer_leaves_the_long_rows_their_past(folder: Path, static: bool) -> None:
    sampler = LocalSampler(folder, max_rows=8, static=static)
    long = prompt(*(1 + np.arange(120) % 30))
    sampler.submit(SampleRequest(0, long, Sampling(max_tokens=40), seed=5))
    sampler.step()
    sampler.submit(SampleRequest(1, prompt(3), Sampling(max_tokens=4), seed=6))
    tokens = finish(sampler)[0]
    expected = reference_logprobs(folder, np.concatenate([long, tokens.tokens]))[len(long) - 1 :]
    np.testing.assert_allclose(tokens.logprobs, expected, atol=1e-5)


@ON_BOTH_CACHES
def test_equal_seeds_give_equal_tokens_and_samples_of_one_prompt_differ(folder: Path, static: bool) -> None:
    def run() -> list[list[int]]:
        sampler = LocalSampler(folder, max_rows=5, static=static)
        for i in range(12):
            sampler.submit(SampleRequest(i, prompt(4, 5, 6), Sampling(max_tokens=12), seed=100 + i))
        return [c.tokens.tolist() for _, c in sorted(finish(sampler).items())]

    first = run()
    assert first == run()
    assert len({tuple(t) for t in first}) > 6


@ON_BOTH_CACHES
def test_what_was_decoded_before_changes_no_bit(folder: Path, static: bool) -> None:
    def run(sampler: LocalSampler) -> list[bytes]:
        for i in range(7):
            sampler.submit(SampleRequest(i, prompt(4, 5, 6), Sampling(max_tokens=20), seed=100 + i))
        return [c.logprobs.tobytes() for _, c in sorted(finish(sampler).items())]

    used = LocalSampler(folder, max_rows=5, static=static)
    for length in (3, 150, 40):
        used.submit(SampleRequest(9, prompt(*(1 + np.arange(length) % 30)), Sampling(max_tokens=50), seed=length))
        finish(used)
    assert run(used) == run(LocalSampler(folder, max_rows=5, static=static))


def test_weights_can_only_change_while_nothing_is_decoded(folder: Path) -> None:
    sampler = LocalSampler(folder)
    weights = {k: v.numpy() for k, v in sampler.model.state_dict().items()}
    sampler.submit(SampleRequest(0, prompt(1), Sampling(max_tokens=8), seed=0))
    with pytest.raises(EngineError, match="still decodes"):
        sampler.load_weights(Snapshot("p", 1, Arrays(weights)))
    finish(sampler)
    sampler.load_weights(Snapshot("p", 2, Arrays(weights)))
    assert sampler.policy_version == 2
    with pytest.raises(EngineError, match="do not fit"):
        sampler.load_weights(Snapshot("p", 3, Arrays({"nothing": np.zeros(3, np.float32)})))


@pytest.mark.parametrize("fixture", ["tiny_folder", "tied_folder"])
def test_a_folder_and_its_arrays_give_the_same_tokens(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base = request.getfixturevalue(fixture)
    trainer = LocalTrainer(base)
    set_weights(trainer, {name: 0.5 * value for name, value in weights_of(trainer).items()})
    trainer.save(tmp_path, optimizer=True)
    sampler, found = LocalSampler(base), []
    for snapshot in (Snapshot("base", 0, Folder(base)), trainer.snapshot("p", 1), Snapshot("p", 2, Folder(tmp_path))):
        sampler.load_weights(snapshot)
        assert sampler.policy_version == snapshot.version
        sampler.submit(SampleRequest(0, prompt(4, 5, 6), Sampling(max_tokens=20), seed=3))
        found.append([(c.tokens.tobytes(), c.logprobs.tobytes()) for c in finish(sampler).values()])
    assert found[0] != found[1] == found[2]


def test_weights_on_a_server_or_in_an_empty_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    sampler = LocalSampler(folder)
    with pytest.raises(EngineError, match="on a server, under the name w-7"):
        sampler.load_weights(Snapshot("p", 1, Handle("w-7")))
    with pytest.raises(ModelError, match="no safetensors weights") as caught:
        sampler.load_weights(Snapshot("p", 1, Folder(tmp_path)))
    assert caught.value.where == str(tmp_path)
    assert sampler.policy_version == 0


def test_draws_follow_the_distribution() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.0, 0.2]])).expand(20000, -1)
    u = uniforms(np.full(20000, 7, np.uint64), np.arange(20000))
    tokens, logp = draw(logits, u, Sampling())
    share = np.bincount(tokens.numpy(), minlength=4) / 20000
    np.testing.assert_allclose(share, [0.5, 0.3, 0.0, 0.2], atol=0.012)
    np.testing.assert_allclose(logp.exp().numpy(), np.array([0.5, 0.3, 0.0, 0.2])[tokens.numpy()], atol=1e-6)


def test_top_p_keeps_the_smallest_set_and_renormalises() -> None:
    logp = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    np.testing.assert_allclose(truncate(logp, 0.79).exp().numpy(), [[0.625, 0.375, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(truncate(logp, 0.49).exp().numpy(), [[1, 0, 0, 0]], atol=1e-6)


def test_top_k_keeps_the_most_probable_and_top_p_takes_its_share_of_what_they_hold() -> None:
    logp = torch.log(torch.tensor([[0.1, 0.5, 0.25, 0.15]]))
    np.testing.assert_allclose(truncate(logp, 1.0, 2).exp().numpy(), [[0, 2 / 3, 1 / 3, 0]], atol=1e-6)
    np.testing.assert_allclose(truncate(logp, 0.66, 2).exp().numpy(), [[0, 1, 0, 0]], atol=1e-6)  # 0.66 of 0.75
    np.testing.assert_allclose(truncate(logp, 0.66).exp().numpy(), [[0, 2 / 3, 1 / 3, 0]], atol=1e-6)
    for size in (0, 4, 9):
        np.testing.assert_allclose(truncate(logp, 1.0, size).exp().numpy(), logp.exp().numpy(), atol=1e-6)


def test_of_equally_probable_tokens_at_the_end_of_the_top_k_none_is_left_out() -> None:
    logp = torch.log(torch.tensor([[0.4, 0.2, 0.2, 0.2]]))
    np.testing.assert_allclose(truncate(logp, 1.0, 2).exp().numpy(), [[0.4, 0.2, 0.2, 0.2]], atol=1e-6)


def test_draws_among_some_tokens_follow_their_share_and_say_its_logarithm() -> None:
    logits = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1]])).expand(20000, -1)
    u = uniforms(np.full(20000, 3, np.uint64), np.arange(20000))
    for sampling, expected in (
        (Sampling(top_k=3), [4 / 9, 3 / 9, 2 / 9, 0]),
        (Sampling(top_p=0.69), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(0.5, top_k=2), [16 / 25, 9 / 25, 0, 0]),
    ):
        tokens, logp = draw(logits, u, sampling)
        np.testing.assert_allclose(np.bincount(tokens.numpy(), minlength=4) / 20000, expected, atol=0.012)
        np.testing.assert_allclose(logp.exp().numpy(), np.array(expected)[tokens.numpy()], atol=1e-6)


def test_a_stop_string_is_found_across_tokens_and_only_at_its_end() -> None:
    stops = StopStrings(["st", "op", "stop it", "x", "opa"], ("stop",))
    assert stops.completed([3, 0, 1])
    assert stops.completed([2])
    assert stops.completed([0, 4])
    assert not stops.completed([0, 1, 3])
    assert not stops.completed([1, 0])
    assert stops.candidates.tolist() == [False, True, True, False, True]
