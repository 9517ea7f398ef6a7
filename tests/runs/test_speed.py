"""What is foretold of a run on a CPU, its time from a second of the model itself, and what it took in the end."""

from __future__ import annotations

import math
import mmap
import os
from pathlib import Path

import pytest

from coevolve.config import Config
from coevolve.engine.planning.budget import memory_plan
from coevolve.methods.registry import load_config
from coevolve.runs import speed
from coevolve.runs.plan import EMBEDDED, Speed, needs_of, planned, shape_of, workload
from coevolve.runs.speed import PeakMemory, foretold, is_timed, measured_speed, outcome_sentence, time_sentence
from coevolve.worlds.miniature.learner import ASSETS


def configured(*overrides: str) -> Config:
    """The nano run on a copy of the embedded model that is a model of one's own."""
    return load_config("nano", overrides=[f"model.path={ASSETS}", *overrides])


def test_a_model_of_ones_own_on_the_cpu_is_timed_and_no_other() -> None:
    assert is_timed(needs_of(configured()))
    assert not is_timed(needs_of(load_config("nano")))
    assert not is_timed(needs_of(load_config("qwen3-4b-1gpu")))
    keys = ["world=open", "engine.device=cpu", "model.dtype=float32", "lora.enabled=true"]
    elsewhere = load_config("nano", overrides=[*keys, "model.path=somebody/something"])
    assert not is_timed(needs_of(elsewhere)), "it is not here"


def test_the_time_that_is_foretold_is_that_of_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_SECONDS", 0.0)
    config, told = configured(), []

    def expected(of: Config) -> dict[str, object]:
        return foretold(needs_of(of), lambda rates: planned(of, [], rates), told.append)

    facts = expected(config)
    (line,) = told
    assert "of CPU time" in line
    assert "tokens/s sampled" in line
    assert isinstance(facts["cpu_s"], float)
    assert 0 < facts["cpu_s"] < math.inf
    shape = shape_of(config)
    assert shape is not None
    assert facts["memory_bytes"] == memory_plan(shape, workload(config)).peak
    assert expected(load_config("qwen3-4b-1gpu")) == {}, "nothing is foretold of a GPU"


def test_every_rate_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_SECONDS", 0.0)
    found = measured_speed(needs_of(configured("lora.enabled=true")))
    assert min(found.sampled, found.read, found.trained) > 0
    assert all(map(math.isfinite, (found.sampled, found.read, found.trained)))


def test_seconds_are_tokens_by_the_rates_of_their_kind() -> None:
    config, rates = configured(), Speed(sampled=10, read=100, trained=1000)
    for slow, usual in zip(planned(config, [], rates), planned(config, []), strict=True):
        assert usual.speed == EMBEDDED
        assert slow.tokens_sampled == usual.tokens_sampled
        trained = slow.tokens_trained + slow.framing
        assert slow.cpu_s == pytest.approx(slow.tokens_sampled / 10 + slow.tokens_read / 100 + trained / 1000)
    executor = next(phase for phase in planned(config, [], rates) if phase.name == "iteration-1/executor")
    answers = config.solver.steps[0] if isinstance(config.solver.steps, list) else config.solver.steps  # type: ignore[attr-defined]
    tasks = answers * config.solver.tasks  # type: ignore[attr-defined]
    assert executor.framing == executor.tokens_read == tasks * 25, "a question for each of its tasks"
    elsewhere = configured("model.dtype=bfloat16")
    rows = planned(elsewhere, [], rates)
    found = next(phase.framing for phase in rows if phase.name == "iteration-1/executor")
    assert found == tasks * elsewhere.solver.group_size * workload(elsewhere).prompt_tokens  # type: ignore[attr-defined]
    assert "10 tokens/s sampled, 1,000 trained" in time_sentence([executor], 2, rates)


def test_a_run_cannot_use_more_rows_or_tokens_than_it_has_texts() -> None:
    load = workload(load_config("nano"))
    assert load.sequences == load.rows == 96, "a pool of 24 questions with 4 votes"
    assert load.batch_tokens == 8 * load.longest == load.micro_batch, "16 answers in two minibatches"
    assert workload(load_config("nano", overrides=["engine.max_rows=8"])).rows == 8
    assert workload(load_config("nano", overrides=["engine.micro_batch_tokens=512"])).micro_batch == 512
    suites = workload(load_config("nano", overrides=["evaluation.suites=[gym:arithmetic]"]))
    assert (suites.sequences, suites.rows) == (None, 512), "how many problems there are is not known here"


def test_weights_that_stay_in_their_files_count_once() -> None:
    lora = ["lora.enabled=true", "engine.workers=3"]
    config = configured(*lora)
    load, shape = workload(config), shape_of(config)
    assert load.mapped
    assert shape is not None
    parts = {part.name: part.bytes for part in memory_plan(shape, load, workers=3).parts}
    assert parts["base model"] == 4 * shape.parameters
    assert not workload(configured(*lora, "model.dtype=bfloat16")).mapped, "these are copies in another type"
    assert not workload(configured("lora.enabled=false")).mapped, "these are overwritten"


def test_the_peak_of_a_process_is_the_kernels_and_others_add_what_is_their_own() -> None:
    if not Path("/proc/self/status").is_file():
        assert PeakMemory(os.getpid()).bytes([]) is None
        return
    alone = PeakMemory(os.getpid()).bytes([])
    assert alone is not None
    assert alone > 50_000_000
    both = PeakMemory(os.getpid()).bytes([os.getpid()])
    assert both is not None
    assert alone < both < 2 * alone
    assert PeakMemory(os.getpid()).bytes([0]) == pytest.approx(alone, rel=0.05), "a worker that is gone adds nothing"


def test_pages_of_a_file_that_is_mapped_twice_count_once(tmp_path: Path) -> None:
    if not Path("/proc/self/smaps").is_file():
        return
    path, size = tmp_path / "weights", 64 * 2**20
    path.write_bytes(bytes(size))
    memory = PeakMemory(os.getpid())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as first:
        assert first[::4096].count(0) == size // 4096
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as second:
            assert second[::4096].count(0) == size // 4096
            second[: size // 2] = bytes(size // 2)  # written pages are memory of their own
            memory.look()
        memory.look()
    # Both from the same highest: the kernel counts in portions, which are large where there are many CPUs.
    raw, after = PeakMemory(os.getpid()).bytes([]), memory.bytes([])
    assert raw is not None
    assert after is not None
    assert raw - after == pytest.approx(size // 2, rel=0.05)


def test_a_run_says_what_it_took_beside_what_was_planned() -> None:
    said = outcome_sentence({"memory_bytes": 2_300_000_000, "cpu_s": 130.0}, 2_100_000_000, 150.0)
    assert said == "memory: 2.10 GB at its fullest, 2.30 planned; CPU time: 2 min 30 s, 2 min 10 s planned"
    assert outcome_sentence({"memory_bytes": 2_300_000_000}, None, 1.0) == ""
    assert outcome_sentence({}, 1, 1.0) == ""
