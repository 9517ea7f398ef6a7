"""The sampler on a server: its decoding; our stop strings, lengths and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coevolve.engine.base import Arrays, Completion, Folder, Handle, Pause, SampleRequest, Sampling, Snapshot
from coevolve.engine.stops import StopStrings
from coevolve.engine.tinker.connection import Connection
from coevolve.engine.tinker.server import Sampled
from coevolve.engine.tinker.trainer import read_state
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.errors import EngineError
from coevolve.types import Ints


@dataclass(slots=True)
class _Sequence:
    """A living sequence: all its tokens, and where it stands."""

    tokens: list[int]
    limit: int  # length at which it is cut
    sampling: Sampling
    seed: int
    written: Future[Sampled] | None = None  # while the server writes on it


class TinkerSampler:
    """Implements :class:`coevolve.engine.base.Sampler` with a server that writes whole segments.

    Stop strings are looked for here, as for every sampler: what the server wrote behind one is thrown away. A segment
    that goes on behind an observation is a new request with all tokens of the sequence.

    Weights of a policy that no longer learns are opened in an adapter of their own, which is released with the next
    ``load_weights``.

    Args:
        connection: to the server.
        model_path: folder of the base model, for its tokenizer.
    """

    def __init__(self, connection: Connection, model_path: Path) -> None:
        self.policy_version = 0
        self._connection = connection
        self._vocabulary = read_vocabulary(model_path)
        self._stops: dict[tuple[str, ...], StopStrings] = {}
        self._living: dict[int, _Sequence] = {}
        self._weights: str | None = None
        self._frozen = ""  # adapter of a policy that does not learn

    @property
    def eos(self) -> frozenset[int]:
        """Token ids that end a sequence."""
        return self._vocabulary.ends

    @property
    def active(self) -> int:
        """Sequences that the server writes on."""
        return sum(sequence.written is not None for sequence in self._living.values())

    def load_weights(self, snapshot: Snapshot) -> None:
        """Decode with other weights from now on; no sequence may be alive.

        Raises:
            EngineError: sequences are alive, the weights are those of another engine, or a trainer has moved on.
            ModelError: a folder does not say where the server keeps its weights.
        """
        if self._living:
            raise EngineError(
                "weights were pushed to a sampler that still decodes", fix="finish or release its sequences"
            )
        frozen, self._frozen = self._frozen, ""
        if frozen:
            self._connection.server.release(frozen)
        self._weights = self._named(snapshot)
        self.policy_version = snapshot.version

    def _named(self, snapshot: Snapshot) -> str | None:
        """What the server calls these weights; None for the base model."""
        source = snapshot.source
        if isinstance(source, Handle):
            if source.name not in self._connection.current.values():
                raise EngineError(
                    "weights that a trainer has already changed cannot be sampled from",
                    where=f"policy {snapshot.name}, version {snapshot.version}",
                    fix="take the snapshot after the update",
                )
            return source.name
        if isinstance(source, Folder) and source.adapter:
            self._frozen = self._connection.server.reopen(read_state(source.path), optimizer=False)
            return self._connection.server.publish(self._frozen)
        if isinstance(source, Folder) or (isinstance(source, Arrays) and source.adapter and not source.weights):
            return None
        raise EngineError("weights in memory cannot be sent to a server", where=f"policy {snapshot.name}")

    def submit(self, request: SampleRequest) -> None:
        """Let the server begin a new sequence.

        Raises:
            EngineError: the prompt is empty, or the sampling is none that the server's log-probabilities belong to.
        """
        sampling = request.sampling
        if len(request.prompt) == 0:
            raise EngineError("a sequence needs at least one prompt token", where=f"request {request.id}")
        whole = sampling.banned is None and sampling.top_p == 1 and sampling.top_k == 0
        if not whole or sampling.temperature not in (0, 1):
            raise EngineError("a server samples from all tokens, at temperature 1 or 0", where=f"request {request.id}")
        limit = len(request.prompt) + sampling.max_tokens
        self._living[request.id] = _Sequence(request.prompt.tolist(), limit, sampling, request.seed)
        self._ask(self._living[request.id])

    def extend(self, id: int, tokens: Ints) -> None:
        """Append tokens to a resting sequence and let it go on."""
        sequence = self._living[id]
        if len(sequence.tokens) + len(tokens) >= sequence.limit:
            raise EngineError("an extension leaves no room for another token", where=f"request {id}")
        sequence.tokens += tokens.tolist()
        self._ask(sequence)

    def release(self, id: int) -> None:
        """Forget a sequence; what the server still writes on it is not looked at."""
        del self._living[id]

    def _ask(self, sequence: _Sequence) -> None:
        # A request begins its random numbers anew, so each has a seed of its own.
        entropy = np.random.SeedSequence([sequence.seed % 2**64, len(sequence.tokens)])
        sequence.written = self._connection.server.sample(
            self._weights,
            np.array(sequence.tokens, np.int32),
            limit=sequence.limit - len(sequence.tokens),
            greedy=sequence.sampling.temperature == 0,
            seed=int(entropy.generate_state(1)[0] >> 1),
            ends=sorted(self.eos),
        )

    def step(self) -> list[Completion]:
        """Wait until the server has written a segment, and return all that are there, in order of their ids.

        Raises:
            EngineError: the server failed, or did not finish within its deadline.
        """
        waiting = {id: x.written for id, x in self._living.items() if x.written is not None}
        if not waiting:
            return []
        # The futures have the deadline: each ends, with a result or an error.
        wait(waiting.values(), return_when=FIRST_COMPLETED)
        return [self._take(id, future.result()) for id, future in sorted(waiting.items()) if future.done()]

    def _take(self, id: int, sampled: Sampled) -> Completion:
        """Cut a segment where the sequence pauses."""
        sequence = self._living[id]
        sequence.written = None
        tokens, pause = self._until_pause(sequence, sampled.tokens)
        sequence.tokens += tokens
        if pause is None:
            raise EngineError(
                "the server ended a sequence that has no end token and room for more",
                where=f"request {id}, {len(sequence.tokens)} of {sequence.limit} tokens",
                fix="a server whose model has the length of prompt and sampling.max_tokens, and the run's end tokens",
            )
        if pause is not Pause.STOP:
            del self._living[id]
        logprobs = np.array(sampled.logprobs[: len(tokens)], np.float32)
        return Completion(id, np.array(tokens, np.int32), logprobs, pause)

    def _until_pause(self, sequence: _Sequence, tokens: Sequence[int]) -> tuple[list[int], Pause | None]:
        stops, length = self._stop_strings(sequence.sampling.stop), len(sequence.tokens)
        for n, token in enumerate(tokens, start=1):
            if not 0 <= token < self._vocabulary.size:
                raise EngineError(
                    f"the server wrote token {token}, and the tokenizer has {self._vocabulary.size}",
                    where="tinker.base_model",
                    fix="the model of model.path",
                )
            if token in self.eos:
                return list(tokens[:n]), Pause.EOS
            if stops.candidates[token] and stops.completed(tokens[:n]):
                return list(tokens[:n]), Pause.STOP
            if length + n >= sequence.limit:
                return list(tokens[:n]), Pause.LENGTH
        return list(tokens), None

    def _stop_strings(self, stop: tuple[str, ...]) -> StopStrings:
        if stop not in self._stops:
            self._stops[stop] = StopStrings(self._vocabulary.texts, stop)
        return self._stops[stop]

    def release_memory(self) -> None:
        """Nothing is held here between sequences."""

    def close(self) -> None:
        """Give up what is alive, and the adapter of a policy that does not learn."""
        self._living.clear()
        if self._frozen:
            self._connection.server.release(self._frozen)
            self._frozen = ""
