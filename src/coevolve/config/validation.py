"""Which keys contradict each other: combinations that would be silently meaningless are refused.

Every function takes the sections that it compares, and raises ValueError with the keys that contradict each other.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from coevolve.config.acting import SamplingSection, SandboxSection, ToolSection
from coevolve.config.resources import EngineSection, LoraSection, TinkerSection

TINKER_ALPHA = 32  # of the API, which has no field for another
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # max_lora_rank of vLLM 0.32


def check_engine(engine: EngineSection, sampling: SamplingSection) -> None:
    """One process uses a GPU, and vLLM has bounds of its own."""
    if engine.device == "cuda" and engine.workers > 1:
        raise ValueError("engine.device cuda is used by one process, but engine.workers asks for more")
    if engine.backend == "fsdp" and engine.optimizer == "adamw-8bit":
        raise ValueError("engine.backend fsdp shares out moments of 32 bits: engine.optimizer is adamw")
    if engine.sampler != "vllm":
        return
    if engine.workers > 1:
        raise ValueError("engine.sampler vllm decodes everything in the main process: engine.workers is 0 or 1")
    for name, drawn in sampling.everywhere().items():
        if drawn.temperature > 2:
            own = getattr(sampling, name).temperature is not None
            key = f"sampling.{name}.temperature" if own else "sampling.temperature"
            raise ValueError(f"engine.sampler vllm knows no {key} above 2")


def check_lora(engine: EngineSection, lora: LoraSection) -> None:
    """vLLM holds adapters in tables of certain ranks; a smaller adapter is padded."""
    if engine.sampler == "vllm" and lora.enabled and lora.rank > max(VLLM_RANKS):
        ranks = ", ".join(map(str, VLLM_RANKS))
        raise ValueError(
            f"engine.sampler vllm serves no lora.rank above {max(VLLM_RANKS)}: it holds adapters in tables of the "
            f"ranks {ranks}, a smaller one in the next larger table"
        )


def check_server(engine: EngineSection, lora: LoraSection, sampling: SamplingSection, tinker: TinkerSection) -> None:
    """A server of the Tinker API trains adapters of its own kind, and tells log-probabilities at temperature 1 only."""
    if engine.backend != "tinker":
        if tinker != TinkerSection():
            raise ValueError("keys of tinker are given, but engine.backend is not tinker")
        return
    if tinker.url is None:
        raise ValueError("engine.backend is tinker, but tinker.url is not given")
    _check_address(tinker.url, "tinker.url")
    if not lora.enabled:
        raise ValueError("engine.backend tinker trains adapters: lora.enabled is true")
    if lora.alpha != TINKER_ALPHA:
        raise ValueError(f"servers of the Tinker API take alpha {TINKER_ALPHA} whatever is asked: lora.alpha is that")
    if lora.targets != LoraSection().targets:
        raise ValueError("engine.backend tinker adapts all seven matrices of a layer: lora.targets keeps its default")
    if engine.workers > 1:
        raise ValueError("engine.backend tinker decodes on its server: engine.workers is 0 or 1")
    unlike = {"engine.sampler": "local", "engine.device": "cpu", "engine.optimizer": "adamw", "engine.autocast": "none"}
    for key, value in (unlike | {"engine.checkpointing": False}).items():
        if getattr(engine, key.removeprefix("engine.")) != value:
            raise ValueError(f"with engine.backend tinker the server decides how it computes: {key} is {value}")
    for name, drawn in sampling.everywhere().items():
        if drawn.truncated or drawn.temperature not in (0, 1):
            raise ValueError(
                "a server of the Tinker API tells log-probabilities of all tokens at temperature 1: "
                f"sampling.{name} draws with temperature 1 (or 0), top_p 1 and top_k 0"
            )


def check_sandbox(box: SandboxSection, tool: ToolSection) -> None:
    """What is said of a server has one, and a server can do what the tool needs."""
    if box.backend == "local":
        if box.url is not None:
            raise ValueError("sandbox.url is given, but sandbox.backend is local")
        if box.dialect != "coevolve":
            raise ValueError("sandbox.dialect is for a server, but sandbox.backend is local")
        return
    if box.url is None:
        raise ValueError("sandbox.backend is remote, but sandbox.url is not given")
    for address in box.addresses:
        _check_address(address, "sandbox.url")
    if len({address.rstrip("/") for address in box.addresses}) < len(box.addresses):
        raise ValueError("sandbox.url names the same address twice")
    if box.environment is not None or box.namespaces != "auto":
        raise ValueError(
            "sandbox.environment and sandbox.namespaces are for the machine that runs snippets: "
            "with sandbox.backend remote, start the server with them"
        )
    if box.dialect == "sandboxfusion":
        if tool.state != "stateless":
            raise ValueError("a server with sandbox.dialect sandboxfusion has no sessions: tool.state is stateless")
        if box.preload or box.unsafe:
            raise ValueError(
                "a server with sandbox.dialect sandboxfusion decides itself: no sandbox.preload, no sandbox.unsafe"
            )


def _check_address(url: str, key: str) -> None:
    """Refuse what is no plain address. A password in it is not repeated in the message."""
    try:
        parts = urlsplit(url)
        port_is_possible = parts.port is None or parts.port > 0
    except ValueError:  # of the port
        port_is_possible = False
    if "@" in url:  # a message that named the key would be told with its value
        section = key.partition(".")[0]
        raise ValueError(
            f"the address of section {section} holds a user or password: it would be kept in the run folder"
        )
    if (
        not port_is_possible
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
    ):
        raise ValueError(f"{key} is no address of the form http://HOST:PORT or https://HOST:PORT")
