"""The page in a real browser, where there is one: it draws, filters, opens a task, and reports no error."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from coevolve.report.build import build_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")

SCRIPT = """
const errors = [];
window.addEventListener("error", (event) => errors.push(event.message));
window.addEventListener("load", () => {
  const seen = {};
  seen.charts = document.querySelectorAll("svg").length;
  seen.wide = document.documentElement.scrollWidth <= window.innerWidth;
  const bar = [...document.querySelectorAll("#healthy .mark.link")][0];
  if (bar) bar.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  seen.found = document.getElementById("found")?.textContent ?? "";
  document.querySelector(".filters button")?.click();
  document.querySelector(".task")?.click();
  seen.answers = document.querySelectorAll(".said").length;
  seen.outputs = document.querySelectorAll(".part.output").length;
  document.querySelector("figcaption button")?.click();
  seen.tables = document.querySelectorAll(".data table").length;
  const before = document.documentElement.dataset.theme;
  document.getElementById("theme").click();
  seen.themes = before !== document.documentElement.dataset.theme;
  seen.title = document.title;
  seen.errors = errors;
  document.body.dataset.seen = JSON.stringify(seen).replace(/"/g, "'");
});
"""


def drive(path: Path, tmp_path: Path, width: int) -> str:
    """What the script saw, as text."""
    page = tmp_path / "driven.html"
    text = build_report(path).read_text(encoding="utf-8")
    page.write_text(text.replace("<style>", f"<script>{SCRIPT}</script><style>", 1), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    options += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [str(BROWSER), *options, f"--window-size={width},1000", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120)
    seen = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert seen, done.stderr[-2000:]
    return seen[1]


@pytest.mark.parametrize("width", [1280, 500])
def test_a_finished_run(finished_run: Path, tmp_path: Path, width: int) -> None:
    seen = drive(finished_run, tmp_path, width)
    assert "'errors':[]" in seen
    assert "'wide':true" in seen
    assert "'title':'agent0-mini-0 · coevolve'" in seen
    assert re.search(r"'found':'\d+ of 192 tasks'", seen)
    assert "'answers':8" in seen
    assert "'tables':1" in seen
    assert "'themes':true" in seen
    assert int(re.search(r"'charts':(\d+)", seen)[1]) >= 14  # type: ignore[index]


@pytest.mark.parametrize("until", ["iteration-0/evaluate", "iteration-1/pool", "iteration-1/evaluate"])
def test_a_run_in_progress(make_run: Callable[..., Path], tmp_path: Path, until: str) -> None:
    seen = drive(make_run(until=until, pool=8), tmp_path, 1000)
    assert "'errors':[]" in seen
