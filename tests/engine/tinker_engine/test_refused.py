"""What a server of the Tinker API cannot do is refused by its key, before anything begins."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from coevolve.config import Config
from coevolve.engine.factory import require_engine
from coevolve.engine.tinker import connection
from coevolve.errors import ConfigError
from coevolve.methods.registry import load_config

POSSIBLE = (
    "engine.backend=tinker",
    "tinker.url=http://127.0.0.1:8123",
    "lora.enabled=true",
    "lora.alpha=32",
)


def config(*overrides: str) -> Config:
    return load_config("nano", overrides=[*POSSIBLE, *overrides], method="agent0")


def test_the_keys_of_the_documentation_make_a_configuration() -> None:
    assert config().engine_settings.tinker.url == "http://127.0.0.1:8123"


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("tinker.url=null", "tinker.url"),
        ("tinker.url=ftp://somewhere", "tinker.url"),
        ("lora.enabled=false", "lora.enabled"),
        ("lora.alpha=64", "lora.alpha"),
        ("lora.targets=[q_proj]", "lora.targets"),
        ("engine.workers=2", "engine.workers"),
        ("engine.sampler=vllm", "engine.sampler"),
        ("engine.optimizer=adamw-8bit", "engine.optimizer"),
        ("engine.backend=local", "tinker"),
        ("sampling.temperature=0.7", "sampling"),
        ("sampling.top_p=0.9", "sampling"),
        ("proposer.vocabulary_mask=0.5", "vocabulary_mask"),
    ],
)
def test_what_a_server_cannot_do_is_refused_by_its_key(override: str, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        config(override)


def test_a_missing_sdk_or_another_one_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[str] = []

    def version(package: str) -> str:
        if not found:
            raise PackageNotFoundError(package)
        return found[0]

    monkeypatch.setattr(connection, "version", version)
    with pytest.raises(ConfigError, match="not installed") as refused:
        require_engine(config().engine_settings)
    assert "pip install 'coevolve[tinker]'" in refused.value.fix
    found.append("0.38.0")
    with pytest.raises(ConfigError, match=r"tinker 0\.38\.0 is installed, not 0\.24\.1"):
        require_engine(config().engine_settings)
