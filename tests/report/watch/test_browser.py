"""The live page in a real browser, while a real run goes on in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder

Served = Callable[..., Any]
FACTS = "document.querySelector('.facts')?.textContent"
POINTS = "document.querySelectorAll('#outcome figure:first-child .mark').length"
PLACE = "return document.querySelector('#agents').getBoundingClientRect().top"
ROWS = "document.querySelectorAll('#list .row').length"
STATE = "document.querySelector('#now .state')?.textContent"
SLOW = 240  # seconds that a real run may need on a busy machine


@contextmanager
def running(tiny: Callable[..., list[str]], path: Path, *overrides: str) -> Iterator[subprocess.Popen[bytes]]:
    """A small run in a process group of its own."""
    command = [sys.executable, "-m", "coevolve", *tiny(path, *overrides)]
    with subprocess.Popen(command, start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"}) as run:
        try:
            yield run
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)


def address(client: Any, place: str = "/") -> str:
    return f"http://127.0.0.1:{client.port}{place}"


def assert_quiet(browser: Any) -> None:
    """No error in the console, and no request to anything but this machine."""
    assert browser.errors() == []
    assert {urlsplit(url).hostname for url in browser.requests() if url.startswith(("http", "ws"))} <= {"127.0.0.1"}


def test_a_real_run_is_followed_from_nothing_to_its_end(
    browser: Any, served: Served, tiny: Callable[..., list[str]], tmp_path: Path
) -> None:
    path = tmp_path / "run"
    with served(path) as client:
        browser.show(address(client))
        browser.until("document.getElementById('headline').textContent === 'Waiting for the run'")
        with running(tiny, path) as run:
            browser.until(f"{STATE} === 'Running'", seconds=SLOW)
            assert browser.run("return document.querySelectorAll('.course .phase').length") == 9
            browser.run("window.stays = true")
            one = browser.until(POINTS, seconds=SLOW)
            browser.until(ROWS, seconds=SLOW)
            browser.run("setFilters({ ...ANY, origin: '1', text: 'Let' }); openAt(1)")
            browser.until(f"{FACTS}?.includes(tasks.task_id[openTask])")  # its trajectories are asked for first
            opened = browser.run(f"return {FACTS}")
            browser.run("document.querySelector('#agents').scrollIntoView({ block: 'start', behavior: 'instant' })")
            seen = browser.run(PLACE)
            browser.until(f"{POINTS} > arguments[0]", one, seconds=SLOW)
            assert browser.run("return document.getElementById('filter-text').value") == "Let"
            assert browser.run(f"return {FACTS}") == opened
            assert browser.run(PLACE) == pytest.approx(seen, abs=1)
            browser.until(f"{STATE} === 'Finished'", seconds=SLOW)
            assert run.wait(timeout=SLOW) == 0
        browser.until("document.getElementById('live').textContent === 'finished'")
        browser.until(f"{POINTS} === 9", seconds=SLOW)  # three evaluations: mean, majority and greedy of each
        assert browser.run("return window.stays") is True  # it was never loaded again
        assert_quiet(browser)


def test_a_run_that_is_killed_is_shown_as_stopped_with_the_way_on(
    browser: Any, served: Served, tiny: Callable[..., list[str]], tmp_path: Path
) -> None:
    path = tmp_path / "run"
    with served(path) as client, running(tiny, path) as run:
        browser.show(address(client))
        browser.until(f"{STATE} === 'Running'", seconds=SLOW)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        browser.until(f"{STATE} === 'Stopped'", seconds=SLOW)
        assert browser.run("return document.querySelector('#now code').textContent") == f"coevolve resume {path}"
        assert_quiet(browser)


def test_a_task_that_is_opened_brings_its_trajectories(browser: Any, served: Served, finished_run: Path) -> None:
    with served(finished_run) as client:
        browser.show(address(client))
        browser.until(ROWS)
        browser.run("setFilters({ ...ANY, iteration: '2' }); openAt(3)")
        browser.until("document.querySelector('.facts')?.textContent.includes('i2-0003')")
        browser.until("document.querySelectorAll('.said').length === 8")
        assert [url.partition("?")[2] for url in browser.requests() if "task=i2-0003" in url] == [
            "origin=0&iteration=2&task=i2-0003"
        ]
        assert browser.errors() == []


def test_a_lost_server_is_said_and_found_again(browser: Any, served: Served, finished_run: Path) -> None:
    mark = "document.getElementById('live').textContent"
    with served(finished_run) as client:
        browser.show(address(client))
        browser.until(f"{mark} === 'finished'")
        port = client.port
    browser.until(f"{mark}.startsWith('connection lost')", seconds=SLOW)
    with served(finished_run, port=port):
        browser.until(f"{mark} === 'finished'", seconds=SLOW)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_of_a_run_in_progress_fits(
    browser: Any, served: Served, make_run: Callable[..., Path], width: int, dark: bool
) -> None:
    path = make_run(until="iteration-2/executor", pool=8)
    writer = RunFolder.open(path)
    writer.begin("iteration-2/executor")
    writer.log({"event": "executor_step", "iteration": 2, "step": 3, "steps": 10, "reward": 0.5, "true_accuracy": 0.25})
    with served(path) as client:
        browser.show(address(client), width=width, dark=dark)
        browser.until(f"{STATE} === 'Running'")
        text = browser.run("return document.getElementById('now').innerText")
        assert "iteration 2 · executor · step 3 of 10" in text
        assert "reward 0.50" in text
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
        assert browser.run("return document.querySelector('.phase.current i').style.width") == "30%"
        colours = {tuple(pixel) for pixel in browser.pixels("#now .course").reshape(-1, 3)}
        assert len(colours) > 8  # finished, current and coming phases, and their names, are painted
        assert_quiet(browser)
    writer.close()


def test_the_index_leads_to_the_runs_and_back_with_the_token(
    browser: Any, served: Served, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    make_run(iterations=1, pool=8).rename(runs / "one")
    with served(runs, host="0.0.0.0", token="secret-of-the-page") as client:
        browser.show(address(client, "/?token=secret-of-the-page"))
        browser.until("document.querySelectorAll('.runs tbody tr').length === 1")
        folder = RunFolder.create(runs / "<b>new</b>", CoevolutionConfig(iterations=1))
        browser.until("document.querySelectorAll('.runs tbody tr').length === 2")
        assert "<b>new</b>" in browser.run("return document.querySelector('.runs').innerText")
        assert browser.run("return document.querySelector('#headline').textContent") == "2 runs, 1 in progress"
        folder.close()
        browser.until("document.querySelector('#headline').textContent === '2 runs, none in progress'")
        browser.run("[...document.querySelectorAll('.runs a')].find((link) => link.textContent === 'one').click()")
        browser.until(f"{STATE} === 'Finished'")
        browser.until("document.querySelectorAll('.said').length")
        assert_quiet(browser)
