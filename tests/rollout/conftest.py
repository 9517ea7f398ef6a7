"""The base model that ships with the package, under the nano preset."""

from __future__ import annotations

import pytest

from coevolve.config import Config
from coevolve.engine.base import Folder
from coevolve.methods.registry import load_config
from coevolve.rollout.base import Snapshot
from coevolve.worlds.miniature.learner import ASSETS


@pytest.fixture(scope="session")
def nano() -> Config:
    """The nano preset; rollouts in this process."""
    return load_config("nano")


@pytest.fixture(scope="session")
def base() -> Snapshot:
    """The weights of the base model."""
    return Snapshot("base", -1, Folder(ASSETS))
