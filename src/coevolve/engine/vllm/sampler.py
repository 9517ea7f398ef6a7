"""The sampler over vLLM: its scheduler, paged cache and kernels; our stop strings, lengths and seeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coevolve.config.resources import EngineSettings
from coevolve.engine.base import Completion, Pause, SampleRequest, Sampling, Snapshot
from coevolve.engine.local.models import load_tokenizer
from coevolve.engine.stops import StopStrings
from coevolve.engine.vllm.launch import first_line, open_engine
from coevolve.engine.vllm.sync import EngineWeights, without_padding
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.errors import CoevolveError, EngineError
from coevolve.types import Ints

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams

_AHEAD = 4  # steps; the engine begins at most two ahead of the one that it gives back


@dataclass(slots=True)
class _Sequence:
    """A living sequence: all its tokens, and where it stands."""

    tokens: list[int]
    limit: int  # length at which it is cut
    sampling: Sampling
    seed: int
    segment: int = 0  # where the present run of sampled tokens starts
    logprobs: list[float] = field(default_factory=list)  # of that run
    request: str = ""  # of the engine, while it decodes; empty while the sequence rests


class VllmSampler:
    """Implements :class:`coevolve.engine.base.Sampler` with vLLM's engine in this process.

    A run of sampled tokens is one request of the engine. A sequence that pauses leaves the engine, and comes back with
    all its tokens when it is extended: the blocks of its past are found by the prefix cache as long as there is room.
    Stop strings are looked for here, as for every sampler; the engine only knows end tokens and lengths.

    Weights and adapters are those of the last ``load_weights``. Everything cached is dropped with them, and when the
    first sequence comes after all others have ended, so that results depend on nothing that was decoded before.
    """

    def __init__(self, settings: EngineSettings, model_path: Path) -> None:
        self.policy_version = 0
        self._settings = settings
        self._engine = open_engine(settings, model_path)
        self._longest: int = self._engine.model_config.max_model_len
        load_tokenizer(model_path)  # refuses what transformers would read in another way
        self._vocabulary = read_vocabulary(model_path)
        without_padding(self._engine, self._vocabulary.size)
        self._weights = EngineWeights(self._engine, settings, model_path)
        self._stops: dict[tuple[str, ...], StopStrings] = {}
        self._living: dict[int, _Sequence] = {}
        self._decoding: dict[str, int] = {}  # ids of the sequences by their requests
        self._numbers = count(1)  # of requests: no name is ever used twice
        self._asleep = False
        self._fault: EngineError | None = None

    @property
    def eos(self) -> frozenset[int]:
        """Token ids that end a sequence."""
        return self._vocabulary.ends

    @property
    def active(self) -> int:
        """Sequences that the next step would advance, waiting ones included."""
        return len(self._decoding)

    def load_weights(self, snapshot: Snapshot) -> None:
        """Decode with other weights from now on; no sequence may be alive.

        Raises:
            EngineError: sequences are alive, the weights do not fit the model, or they are on a server.
            ModelError: a folder holds no weights, or damaged ones.
        """
        if self._living:
            raise EngineError(
                "weights were pushed to a sampler that still decodes", fix="finish or release its sequences"
            )
        with self._guarded():
            self._wake()
            self._weights.load(snapshot)
            self._forget()
        self.policy_version = snapshot.version

    def submit(self, request: SampleRequest) -> None:
        """Queue a new sequence.

        Raises:
            EngineError: the prompt is empty, or the sequence could become longer than the engine allows.
        """
        if len(request.prompt) == 0:
            raise EngineError("a sequence needs at least one prompt token", where=f"request {request.id}")
        limit = len(request.prompt) + request.sampling.max_tokens
        if limit > self._longest:
            raise EngineError(
                f"a sequence may become {limit} tokens long, vLLM was opened for {self._longest}",
                where="vllm.max_length",
                fix="a larger vllm.max_length, as far as the model allows, or fewer sampling.max_tokens",
            )
        with self._guarded():
            self._wake()
            if not self._living:
                self._forget()
        sequence = _Sequence(request.prompt.tolist(), limit, request.sampling, request.seed)
        self._living[request.id] = sequence
        self._ask(request.id, sequence)

    def extend(self, id: int, tokens: Ints) -> None:
        """Append tokens to a resting sequence and let it go on at the next step."""
        sequence = self._living[id]
        if len(sequence.tokens) + len(tokens) >= sequence.limit:
            raise EngineError("an extension leaves no room for another token", where=f"request {id}")
        sequence.tokens += tokens.tolist()
        self._ask(id, sequence)

    def release(self, id: int) -> None:
        """Forget a sequence, whether it rests or decodes."""
        sequence = self._living.pop(id)
        if sequence.request:
            del self._decoding[sequence.request]
            with self._guarded():
                self._engine.abort_request([sequence.request])

    def _ask(self, id: int, sequence: _Sequence) -> None:
        """Give the engine all tokens of a sequence, to go on from there."""
        from vllm.inputs import tokens_input

        sequence.segment, sequence.logprobs = len(sequence.tokens), []
        sequence.request = f"{id}-{next(self._numbers)}"
        self._decoding[sequence.request] = id
        with self._guarded():
            self._engine.add_request(
                sequence.request,
                tokens_input(list(sequence.tokens)),
                self._parameters(sequence),
                lora_request=self._weights.adapter,
            )

    def _parameters(self, sequence: _Sequence) -> SamplingParams:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        # A request begins its random numbers anew, so each has a seed of its own.
        seed = np.random.SeedSequence([sequence.seed % 2**64, len(sequence.tokens)]).generate_state(1, np.uint64)[0]
        return SamplingParams(
            temperature=sequence.sampling.temperature,
            top_p=sequence.sampling.top_p,
            top_k=sequence.sampling.top_k,
            max_tokens=sequence.limit - len(sequence.tokens),
            seed=int(seed >> np.uint64(1)),
            stop_token_ids=sorted(self.eos),
            ignore_eos=True,  # of vLLM's reading of the folder; ours is in stop_token_ids
            logprobs=0,  # of the sampled token alone
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )

    def step(self) -> list[Completion]:
        """Let the engine decode once and return the sequences that paused, in order of their ids."""
        if not self._decoding:
            return []
        with self._guarded():
            outputs: list[Any] = self._engine.step()
        done, aborted = [], []
        for output in outputs:
            id = self._decoding.get(output.request_id)
            completion = None if id is None else self._take(id, output)
            if completion is not None:
                done.append(completion)
                if not output.finished:
                    aborted.append(output.request_id)
        if aborted:
            with self._guarded():
                self._engine.abort_request(aborted)
        return sorted(done, key=lambda c: c.id)

    def _take(self, id: int, output: RequestOutput) -> Completion | None:
        """Add what the engine decoded of a sequence, up to where it pauses."""
        sequence, new = self._living[id], output.outputs[0]
        flat: Any = new.logprobs
        for token, at in zip(new.token_ids, flat.start_indices if flat is not None else (), strict=True):
            sequence.tokens.append(token)
            sequence.logprobs.append(flat.logprobs[at])
            pause = self._pause(sequence)
            if pause is not None:
                return self._paused(id, sequence, pause)
        if output.finished:
            raise self._broken(f"vLLM ended a sequence before its time ({new.finish_reason})")
        return None

    def _pause(self, sequence: _Sequence) -> Pause | None:
        last, stops = sequence.tokens[-1], self._stop_strings(sequence.sampling.stop)
        if last in self.eos:
            return Pause.EOS
        if stops.candidates[last] and stops.completed(sequence.tokens[sequence.segment :]):
            return Pause.STOP
        return Pause.LENGTH if len(sequence.tokens) >= sequence.limit else None

    def _paused(self, id: int, sequence: _Sequence, pause: Pause) -> Completion:
        del self._decoding[sequence.request]
        sequence.request = ""
        if pause is not Pause.STOP:
            del self._living[id]
        tokens = np.array(sequence.tokens[sequence.segment :], np.int32)
        return Completion(id, tokens, np.array(sequence.logprobs, np.float32), pause)

    def _stop_strings(self, stop: tuple[str, ...]) -> StopStrings:
        if stop not in self._stops:
            self._stops[stop] = StopStrings(self._vocabulary.texts, stop)
        return self._stops[stop]

    def release_memory(self) -> None:
        """Give the memory of the GPU back until the next weights or sequence; the weights wait in main memory.

        Raises:
            EngineError: sequences are alive; their cache would be lost.
        """
        if self._asleep or not self._settings.vllm.sleep:
            return
        if self._living:
            raise EngineError("a sampler was sent to sleep that still decodes", fix="finish or release its sequences")
        with self._guarded():
            self._forget()
            self._engine.sleep(level=1)
        self._asleep = True

    def _wake(self) -> None:
        if not self._asleep:
            return
        if self._settings.engine.device == "cuda":
            import torch

            torch.cuda.empty_cache()  # what the trainer has freed is kept for torch alone until then
        self._engine.wake_up()
        self._asleep = False

    def _forget(self) -> None:
        """Drop all that is cached. A step that the engine has begun ahead of time ends first: its blocks are in use."""
        for _ in range(_AHEAD):
            if self._engine.reset_prefix_cache():
                return
            self._engine.step()
        raise self._broken("vLLM keeps the cache of sequences that have ended")

    def close(self) -> None:
        """End the engine; sequences that still decode are given up."""
        self._living.clear()
        self._decoding.clear()
        self._engine.engine_core.shutdown()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Whatever the engine raises is an error of ours, and the end of this engine."""
        if self._fault is not None:
            raise self._fault
        try:
            yield
        except CoevolveError:
            raise
        except Exception as error:  # of every kind, from torch, CUDA and vLLM
            raise self._broken(f"vLLM's engine failed: {first_line(error)}") from error

    def _broken(self, what: str) -> EngineError:
        self._fault = EngineError(
            what,
            where=f"policy version {self.policy_version}",
            fix="coevolve resume goes on after the last finished step; when memory was short, with a smaller "
            "vllm.memory or engine.max_rows",
        )
        return self._fault
