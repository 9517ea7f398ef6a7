"""One connection of this process to its server, examined once, which its sampler and its trainers share."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from coevolve.config.resources import EngineSettings
from coevolve.engine.tinker.conformance import examine
from coevolve.engine.tinker.gradient import Reduction
from coevolve.engine.tinker.server import Server
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.errors import ConfigError

_SDK = "0.24.1"  # the only one that was tested with a server; from 0.25 on it speaks another protocol
_INSTALL = "pip install 'coevolve[tinker]' (docs/cluster.md)"


@dataclass(slots=True)
class Connection:
    """A server that was examined, and what this process knows of the weights there."""

    server: Server
    settings: EngineSettings
    reduction: Reduction
    # By adapter in training the name under which its present weights can be sampled from. To sample from older ones
    # would overwrite those in training on some servers (SkyRL's JAX backend 0.3.0), without a word.
    current: dict[str, str] = field(default_factory=dict)

    def open(self) -> str:
        """A new adapter, equal to the base model; returns its id."""
        return self.server.open(self.settings.lora.rank, self.settings.seed)


def require_tinker() -> None:
    """Refuse a machine without the SDK that this was tested with, before anything begins.

    Raises:
        ConfigError: it is missing, or another version.
    """
    try:
        found = version("tinker")
    except PackageNotFoundError:
        what = "engine.backend is tinker, but the SDK tinker is not installed"
        raise ConfigError(what, where="engine.backend", fix=_INSTALL) from None
    if found != _SDK:
        raise ConfigError(f"tinker {found} is installed, not {_SDK}", where="engine.backend", fix=_INSTALL)


def connect(settings: EngineSettings, model_path: Path) -> Connection:
    """The connection of this process to ``tinker.url``; the first call examines the server.

    Args:
        settings: of the run.
        model_path: folder of the base model, for its tokenizer.

    Raises:
        ConfigError: the SDK is missing, or the server has no such base model.
        EngineError: the server does not answer, or does what is not known here.
    """
    key = (settings.tinker.url, settings.tinker.base_model, settings.lora.rank, str(model_path))
    if key not in _CONNECTIONS:
        from coevolve.engine.tinker.sdk import SdkServer

        require_tinker()
        _CONNECTIONS[key] = examined(SdkServer(settings.tinker), settings, model_path)
    return _CONNECTIONS[key]


def examined(server: Server, settings: EngineSettings, model_path: Path) -> Connection:
    """A connection to a server, after the probe of :func:`coevolve.engine.tinker.conformance.examine`."""
    vocabulary = read_vocabulary(model_path)
    reduction = examine(
        server,
        rank=settings.lora.rank,
        seed=settings.seed,
        vocabulary=vocabulary.size,
        ends=sorted(vocabulary.ends),
        expected=settings.tinker.reduction,
    )
    return Connection(server, settings, reduction)


_CONNECTIONS: dict[tuple[str | None, str | None, int, str], Connection] = {}  # of this process, for as long as it lives
