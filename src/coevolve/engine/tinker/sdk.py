"""A server behind the SDK of the Tinker API; implements :class:`coevolve.engine.tinker.server.Server`."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from importlib.metadata import version
from typing import Any, TypeVar

import httpx
import numpy as np

from coevolve.config.resources import TinkerSection
from coevolve.engine.tinker.server import Adam, LostReply, Sampled
from coevolve.errors import ConfigError, EngineError
from coevolve.types import Floats, Ints

T = TypeVar("T")
_EPS = 1e-8  # of AdamW, as in the local engine; the SDK's own default is another
_HEALTH_S = 20.0
_AGAIN = 2  # further attempts at what changes nothing


class SdkServer:
    """One session with a server.

    The SDK sends a request again when its reply is lost, and a server that has no memory of requests then makes an
    update twice. So its own repetition is off, and what changes nothing is repeated here.

    Args:
        section: where the server is, and how long it may take.

    Raises:
        ConfigError: the server has no such base model, or several and none is named.
        EngineError: it does not answer.
    """

    def __init__(self, section: TinkerSection) -> None:
        assert section.url is not None, "the configuration was checked"
        os.environ.setdefault("TINKER_TELEMETRY", "0")  # read when the SDK connects
        self._url, self._deadline = section.url.rstrip("/"), section.deadline_s
        self._require_answer()
        import tinker

        self._sdk: Any = tinker
        key = os.environ.get("TINKER_API_KEY") or "tml-none"  # the SDK refuses keys of another form
        self._service: Any = self._ask(
            "opening a session", lambda: tinker.ServiceClient(base_url=self._url, api_key=key, max_retries=0)
        )
        self._service.holder.execute_with_retries = _once
        self._model = self._base_model(section.base_model)
        self.facts: Mapping[str, str] = {"sdk": f"tinker {version('tinker')}", "served_model": self._model}
        self._adapters: dict[str, Any] = {}  # training clients
        self._samplers: dict[str | None, Any] = {}

    def _require_answer(self) -> None:
        try:
            httpx.get(f"{self._url}/api/v1/healthz", timeout=_HEALTH_S).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EngineError(
                f"no server of the Tinker API answers: {type(error).__name__}",
                where=f"tinker.url={self._url}",
                fix="start it (docs/cluster.md), then the same command, or coevolve resume",
            ) from None

    def _base_model(self, asked: str | None) -> str:
        told = self._ask("asking what it can do", self._service.get_server_capabilities, again=_AGAIN)
        names = [str(model.model_name) for model in told.supported_models]
        if asked in names or (asked is None and len(names) == 1):
            return asked or names[0]
        what = f"the server has no base model {asked}" if asked else "the server has several base models"
        raise ConfigError(what, where="tinker.base_model", fix=f"one of: {', '.join(names)}")

    def open(self, rank: int, seed: int) -> str:
        """See the protocol."""
        make = self._service.create_lora_training_client
        client = self._ask(
            "opening an adapter",
            lambda: make(base_model=self._model, rank=rank, seed=seed, train_unembed=False),
        )
        return self._hold(client)

    def reopen(self, state: str, *, optimizer: bool) -> str:
        """See the protocol."""
        service = self._service
        make = service.create_training_client_from_state
        if optimizer:
            make = service.create_training_client_from_state_with_optimizer
        return self._hold(self._ask(f"opening the saved state {state}", lambda: make(state)))

    def _hold(self, client: Any) -> str:
        id = str(client.model_id)
        self._adapters[id] = client
        return id

    def rank(self, state: str) -> int | None:
        """See the protocol."""
        rest = self._service.create_rest_client()
        told = self._wait("reading back the rank", lambda: rest.get_weights_info_by_tinker_path(state), again=_AGAIN)
        return None if told.lora_rank is None else int(told.lora_rank)

    def forward(self, adapter: str, rows: Sequence[Ints]) -> list[Floats]:
        """See the protocol."""
        data = [self._datum(row, weights=np.ones(len(row) - 1, np.float32)) for row in rows]
        client = self._adapters[adapter]
        told = self._wait("forward", lambda: client.forward(data, "cross_entropy"), again=_AGAIN)
        return [np.array(x["logprobs"].data, np.float32) for x in told.loss_fn_outputs]

    def backward(
        self, adapter: str, rows: Sequence[Ints], logprobs: Sequence[Floats], advantages: Sequence[Floats]
    ) -> None:
        """See the protocol."""
        data = [
            self._datum(row, logprobs=logp, advantages=gain)
            for row, logp, gain in zip(rows, logprobs, advantages, strict=True)
        ]
        client = self._adapters[adapter]
        self._wait("forward_backward", lambda: client.forward_backward(data, "importance_sampling"))

    def step(self, adapter: str, adam: Adam) -> float | None:
        """See the protocol."""
        numbers = self._sdk.AdamParams(
            learning_rate=adam.lr, beta1=adam.beta1, beta2=adam.beta2, eps=_EPS, weight_decay=adam.weight_decay
        )
        client = self._adapters[adapter]
        told = self._wait("optim_step", lambda: client.optim_step(numbers)).metrics or {}
        return next((float(value) for name, value in told.items() if name.endswith("grad_norm")), None)

    def save(self, adapter: str) -> str:
        """See the protocol."""
        client = self._adapters[adapter]
        return str(self._wait("save_state", lambda: client.save_state(_new_name())).path)

    def publish(self, adapter: str) -> str:
        """See the protocol."""
        client = self._adapters[adapter]
        return str(self._wait("save_weights_for_sampler", lambda: client.save_weights_for_sampler(_new_name())).path)

    def sample(
        self, weights: str | None, prompt: Ints, *, limit: int, greedy: bool, seed: int, ends: Sequence[int]
    ) -> Future[Sampled]:
        """See the protocol."""
        client = self._sampler(weights)
        params = self._sdk.SamplingParams(
            max_tokens=limit, temperature=0.0 if greedy else 1.0, seed=seed, stop=list(ends)
        )
        what, deadline = "sample", time.monotonic() + self._deadline
        request = client.sample(prompt=self._input(prompt), num_samples=1, sampling_params=params)

        def written() -> Sampled:
            told = self._result(what, request, deadline).sequences[0]
            return Sampled(list(told.tokens), list(told.logprobs or ()), told.stop_reason == "stop")

        return _in_thread(written)

    def _sampler(self, weights: str | None) -> Any:
        if weights not in self._samplers:
            self._samplers.clear()  # one policy at a time
            make = self._service.create_sampling_client
            named = {"base_model": self._model} if weights is None else {"model_path": weights}
            self._samplers[weights] = self._ask("opening a sampler", lambda: make(**named), again=_AGAIN)
        return self._samplers[weights]

    def release(self, adapter: str) -> None:
        """See the protocol."""
        if self._adapters.pop(adapter, None) is None:
            return
        from tinker.lib.client_connection_pool_type import ClientConnectionPoolType
        from tinker.types import UnloadModelRequest

        holder = self._service.holder

        async def unload() -> None:
            with holder.aclient(ClientConnectionPoolType.TRAIN) as client:
                await client.models.unload(request=UnloadModelRequest(model_id=adapter))

        # A server that is gone, or has given the place back itself, leaves nothing to do.
        with suppress(EngineError):
            self._wait("unload_model", lambda: holder.run_coroutine_threadsafe(unload()), deadline=_HEALTH_S)

    def _datum(self, row: Ints, **streams: Floats) -> Any:
        inputs: dict[str, Any] = {"target_tokens": row[1:].tolist()}
        inputs |= {name: values.astype(float).tolist() for name, values in streams.items()}
        return self._sdk.Datum(model_input=self._input(row[:-1]), loss_fn_inputs=inputs)

    def _input(self, tokens: Ints) -> Any:
        return self._sdk.ModelInput.from_ints(tokens.tolist())

    def _ask(self, what: str, call: Callable[[], T], again: int = 0) -> T:
        """The result of a call of the SDK that waits by itself and knows no deadline."""
        told: T = self._wait(what, lambda: _in_thread(call), again=again)
        return told

    def _wait(self, what: str, begin: Callable[[], Any], again: int = 0, deadline: float | None = None) -> Any:
        """The result of a call of the SDK that gives a future; begun again so often where its reply is lost."""
        for left in range(again, -1, -1):
            try:
                return self._result(what, begin(), time.monotonic() + (deadline or self._deadline))
            except LostReply:
                if not left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _result(self, what: str, future: Any, deadline: float) -> Any:
        try:
            return future.result(timeout=max(deadline - time.monotonic(), 0.0))
        except TimeoutError:
            fault = f"{what} was not done within {self._deadline:g} s (tinker.deadline_s)"
        except self._sdk_errors() as error:
            fault = f"the reply to {what} was lost: {_first_line(error)}"
        except Exception as error:  # of every kind, of the SDK and of what the server says
            raise EngineError(
                f"the server failed at {what}: {_first_line(error)}",
                where=f"tinker.url={self._url}",
                fix="look at the server's log; then: coevolve resume",
            ) from error
        raise LostReply(fault, where=f"tinker.url={self._url}", fix="look at the server; then: coevolve resume")

    @staticmethod
    def _sdk_errors() -> tuple[type[Exception], ...]:
        """What says that a request may have been carried out."""
        import tinker

        return (tinker.APIConnectionError, tinker.InternalServerError, httpx.TransportError, ConnectionError)


async def _once(call: Callable[..., Any], *args: Any, **named: Any) -> Any:
    return await call(*args, **named)


def _new_name() -> str:
    """Servers keep a name for good, and some wait for ever where one is given twice."""
    return f"coevolve-{uuid.uuid4().hex}"


def _in_thread(call: Callable[[], T]) -> Future[T]:
    """What a call returns, later. The thread is no obstacle to the end of the process."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0] or type(error).__name__
