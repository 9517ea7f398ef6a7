"""A finished run, runs in any state, and one browser for all tests of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .browser import Browser, missing_browser
from .synthetic import synthetic_run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_run(tmp_path_factory.mktemp("runs") / "agent0-mini-0")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    return lambda **options: synthetic_run(tmp_path / "agent0-mini-0", **options)


@pytest.fixture(scope="session")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, started once; without one the tests are skipped, or fail where the environment asks for a browser."""
    missing_browser()
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(shared_browser: Browser) -> Browser:
    """The browser with nothing open and nothing in its logs."""
    shared_browser.clear()
    return shared_browser
