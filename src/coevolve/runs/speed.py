"""How fast a model is on this machine, measured in a few steps of it, and what a run really took beside its plan.

Only for models on a CPU: times of a GPU are not estimated. Seconds are those of the CPU, which other programs on the
machine hardly change.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from coevolve.config import TrainingSection
from coevolve.config.acting import Distribution
from coevolve.config.resources import EngineSettings
from coevolve.engine.base import SampleRequest, Sampling
from coevolve.engine.factory import Trainers, open_sampler
from coevolve.engine.local.runtime import return_free_memory
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.methods.registry import load_config
from coevolve.monitor.progress import duration
from coevolve.runs.estimate import Suitability, fit_here
from coevolve.runs.plan import Needs, PlannedPhase, Speed, needs_of, planned
from coevolve.system import usable_cores
from coevolve.types import Batch, Ints, TrainRow

MOST_PARAMETERS = 2_000_000_000  # of a model that is loaded for this
_SECONDS = 0.4  # of CPU time that decoding is looked at
_LEAST_STEPS, _ROWS, _OWN, _ROW = 3, 32, 8, 96  # steps, rows, tokens of a prompt that no other has, of a trained row
_LONGEST = 128  # tokens that prompts are taken to share at most: reading them is most of what this takes
# A mapping of /proc/PID/smaps: its first line (addresses, rights, offset, device, inode, path), and the lines below it.
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ ([0-9a-f]+) (\S+) (\d+)[^\n]*\n((?:[A-Z][^\n]*\n?)*)", re.MULTILINE)


def is_timed(needs: Needs) -> bool:
    """Whether the speed of a run's model can be measured here: a model of one's own, on the CPU, that is here."""
    engine, shape = needs.load.settings.engine, needs.shape
    on_cpu = engine.device == "cpu" and engine.sampler == "local" and engine.backend == "local"
    return on_cpu and needs.own is not None and shape is not None and shape.parameters <= MOST_PARAMETERS


def measured_speed(needs: Needs) -> Speed:
    """Tokens per second of CPU time of a run's base model, in this process; the model is loaded and let go again.

    Decoding is timed with as many sequences as a worker of the run has, 32 at most, behind prompts that share as much
    as those of the run do; training on one row of 96 tokens.

    Raises:
        CoevolveError: the model cannot be used.
    """
    settings, base = needs.load.settings, needs.own
    assert base is not None, "asked only where it is timed"
    size = len(read_vocabulary(base).texts)
    tokens: Ints = np.random.default_rng(0).integers(size // 2, size, _ROW).astype(np.int32)
    shared = np.resize(tokens, min(needs.load.shared_tokens, _LONGEST))
    sampled, read = _sampling(settings, base, shared, min(needs.load.rows, _ROWS), size)
    trained = _training(settings, base, tokens)
    return_free_memory()
    return Speed(sampled, read, trained)


def _sampling(settings: EngineSettings, base: Path, shared: Ints, rows: int, size: int) -> tuple[float, float]:
    """Tokens per second that are drawn, and that are read of prompts; ``size`` is that of the vocabulary."""
    sampler = open_sampler(settings, base)
    try:
        for i in range(rows):
            own = np.random.default_rng(i).integers(size // 2, size, _OWN).astype(np.int32)
            prompt = np.concatenate([shared, own])
            sampler.submit(SampleRequest(i, prompt, Sampling(max_tokens=1 << 10), i))
        began = time.process_time()
        sampler.step()  # reads what they share once for all
        read = (len(shared) + rows * _OWN) / max(time.process_time() - began, 1e-9)
        began, drawn = time.process_time(), 0
        steps = 0
        while steps < _LEAST_STEPS or time.process_time() - began < _SECONDS:
            if not sampler.active:
                break  # all have ended by themselves
            drawn += sampler.active
            sampler.step()
            steps += 1
        return drawn / max(time.process_time() - began, 1e-9), read
    finally:
        sampler.close()


def _training(settings: EngineSettings, base: Path, tokens: Ints) -> float:
    """Tokens per second of a forward and a backward pass."""
    zeros = np.zeros(len(tokens), np.float32)
    weight = np.where(np.arange(len(tokens)) > 0, 1 / len(tokens), 0).astype(np.float32)
    row = TrainRow(tokens, zeros - 8, zeros + 1, zeros + 0.2, zeros + 0.2, weight, zeros - 8)
    with closing(Trainers(settings, base, lambda text: None)) as trainers:
        trainer = trainers.open_trainer(base, TrainingSection(), Distribution(), resume=False, reference=None)
        began = time.process_time()
        trainer.forward_backward(Batch((row,)))
    return len(tokens) / max(time.process_time() - began, 1e-9)


def time_sentence(phases: Iterable[PlannedPhase], cores: int, speed: Speed) -> str:
    """``about 41 min of CPU time, 21 min at best on 2 cores; measured: 62 tokens/s sampled, 80 trained``."""
    seconds = sum(phase.cpu_s for phase in phases)
    return (
        f"about {duration(seconds)} of CPU time: {duration(seconds / cores)} at best on {cores} cores. Measured "
        f"just now, per core: {speed.sampled:,.0f} tokens/s sampled, {speed.trained:,.0f} trained"
    )


def foretold(
    needs: Needs, phases: Callable[[Speed | None], Sequence[PlannedPhase]], note: Callable[[str], None]
) -> dict[str, object]:
    """What a run on a CPU is expected to take, for its manifest; the time of a model of one's own is measured and told.

    Args:
        needs: of the run.
        phases: its plan at a speed; None: that of the embedded model.
        note: told in a sentence how long the run will take.

    Returns:
        memory_bytes, and cpu_s where the speed of the model is known; empty where the run is on a GPU.
    """
    if needs.load.settings.engine.device != "cpu":
        return {}
    fit = fit_here(needs.shape, needs.load)
    found: dict[str, object] = {"memory_bytes": fit.memory.peak} if fit else {}
    speed = measured_speed(needs) if is_timed(needs) else None
    if speed is not None:
        note(time_sentence(phases(speed), usable_cores(), speed))
    if speed is None and not needs.embedded:
        return found
    return found | {"cpu_s": sum(phase.cpu_s for phase in phases(speed))}


def with_time(one: Suitability) -> Suitability:
    """A preset with the time that it takes on this machine, where its model is one that can be timed."""
    config = load_config(one.preset)
    needs = needs_of(config)
    if not is_timed(needs):
        return one
    seconds = sum(phase.cpu_s for phase in planned(config, None, measured_speed(needs)))
    return replace(one, needs=f"{one.needs}, {duration(seconds / usable_cores())} at best on {usable_cores()} cores")


def outcome_sentence(expected: Mapping[str, object], memory: int | None, cpu_s: float) -> str:
    """``memory: 2.1 GB at its fullest, 2.3 planned; CPU time: 44 min, 41 min planned``; empty where nothing was."""
    said = []
    room = expected.get("memory_bytes")
    if isinstance(room, int) and memory is not None:
        said.append(f"memory: {memory / 1e9:.2f} GB at its fullest, {room / 1e9:.2f} planned")
    seconds = expected.get("cpu_s")
    if isinstance(seconds, int | float):
        said.append(f"CPU time: {duration(cpu_s)}, {duration(seconds)} planned")
    return "; ".join(said)


class PeakMemory:
    """The memory of a run at its fullest.

    The kernel's highest counts a page of a file once for each place where a process has mapped it, and while sampler
    and trainer are both open, they map the same base model. ``look`` notes how much that is.

    Args:
        main: id of the main process.
    """

    def __init__(self, main: int) -> None:
        self._main, self._again = main, 0

    def look(self) -> None:
        """Note what is mapped twice; at a moment when sampler and trainer are open."""
        self._again = max(self._again, _mapped_again(self._main))

    def bytes(self, others: Iterable[int]) -> int | None:
        """All processes at their fullest, taken as one moment; pages of files count in the main one alone, and once.

        Args:
            others: ids of the workers.

        Returns:
            None on systems whose kernel does not tell.
        """
        found = _status(self._main)
        if found is None:
            return None
        total = found["VmHWM"] - self._again
        for process in others:
            status = _status(process)
            if status is not None:
                total += max(status["VmHWM"] - status["RssFile"], 0)
        return total


def _mapped_again(process: int) -> int:
    """Bytes of files that a process holds through more than one mapping, beyond the first; 0 where nothing is told."""
    try:
        text = Path(f"/proc/{process}/smaps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    sizes: dict[tuple[str, str, str], list[int]] = {}
    for offset, device, inode, rest in _MAPPING.findall(text):
        kilobytes = {name: int(size) for name, size in re.findall(r"^(Rss|Anonymous):\s+(\d+) kB$", rest, re.MULTILINE)}
        if inode != "0" and len(kilobytes) == 2:
            shared = kilobytes["Rss"] - kilobytes["Anonymous"]  # pages that were written to are the mapping's own
            sizes.setdefault((device, inode, offset), []).append(shared * 1024)
    return sum(sum(found) - max(found) for found in sizes.values())


def _status(process: int) -> dict[str, int] | None:
    """Bytes by name, of one process; None where it is not there."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    found = {name: int(size) * 1024 for name, size in re.findall(r"^(VmHWM|RssFile):\s+(\d+) kB$", text, re.MULTILINE)}
    return found if len(found) == 2 else None
