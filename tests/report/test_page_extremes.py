"""Pages of runs that are out of the ordinary, in a real browser: hostile text, and fifty thousand trajectories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coevolve.report.build import build_report
from coevolve.store.folder import RunFolder

from .browser import READY, Browser
from .synthetic import synthetic_run

HOSTILE = {
    "script": "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">",
    "comment": "<!-- <script> --> ]]> &lt; &#x3c; {{data}} ${1} \\u003c",
    "long line": "x" * 1_000_000,
    "bidirectional": "\u202eabc\u202c \u2066isolated\u2069 \u200fmark مرحبا",
    "terminal": "\x1b[31mred\x1b[0m\x07\x00\x7f\x9b",
    "unseen": "zero\u200bwidth\ufeff soft\u00adhyphen \u2028line",
    "emoji": "👩\u200d👩\u200d👧 🙂",  # joined by a character that must stay
}


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = synthetic_run(tmp_path_factory.mktemp("hostile") / "run", pool=4, until="iteration-2/pool")
    folder = RunFolder.open(path)
    folder.begin("iteration-2/pool")
    tasks = [
        {
            "iteration": 2,
            "task_id": name,
            "question": text,
            "topic": text[:50],
            "label": text,
            "counts": [(text, 1)],
            "k": 1,
            "p_hat": 1.0,
            "kept": True,
            "reason": "kept",
            "tool_calls": 1.0,
        }
        for name, text in HOSTILE.items()
    ]
    rows = [
        {
            "iteration": 2,
            "phase": "pool",
            "task_id": name,
            "sample": 0,
            "policy": "p",
            "answer": text,
            "stop": "eos",
            "text": f"{text}\n```python\n{text}\n```\n```output\n{text}\n```\n{text}",
            "tool_calls": [{"code": text, "observation": text, "status": "error"}],
        }
        for name, text in HOSTILE.items()
    ]
    meters = [{"task_id": name, "truth": text, "label_right": True} for name, text in HOSTILE.items()]
    files = [
        folder.write_table("tasks/iteration-2.parquet", tasks),
        folder.write_table("trajectories/pool-2.parquet", rows),
        folder.write_table("meter/tasks-2.parquet", meters),
    ]
    folder.finish("iteration-2/pool", files)
    folder.close()
    return build_report(path)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_shown_as_text(browser: Browser, hostile_page: Path, name: str) -> None:
    browser.show(hostile_page, width=390)
    browser.until(READY)
    browser.run("setFilters({ ...ANY, iteration: '2' }); openAt(arguments[0])", list(HOSTILE).index(name))
    browser.until("document.querySelector('.facts').textContent.includes('id ' + arguments[0]) && " + READY, name)
    page = browser.run("return document.getElementById('browser').textContent")
    assert HOSTILE[name].split("\u202e")[-1][:3].strip("\x1b\x00") in page
    assert not set(page) & set("\u202e\u202c\u2066\u2069\u200f\u200b\ufeff\u00ad\u2028\x1b\x00\x07\x7f\x9b")
    assert browser.run("return document.querySelectorAll('#browser img, #browser script').length") == 0
    assert browser.run("return document.documentElement.scrollWidth") == 390
    assert browser.driver.title == "run · coevolve"
    assert browser.errors() == []


def test_marks_that_turn_text_around_are_named_and_bound(browser: Browser, hostile_page: Path) -> None:
    browser.show(hostile_page)
    browser.until(READY)
    browser.run("setFilters({ ...ANY, iteration: '2' }); openAt(arguments[0])", list(HOSTILE).index("bidirectional"))
    browser.until("document.querySelector('.facts').textContent.includes('id bidirectional') && " + READY)
    marks = browser.run("return [...document.querySelectorAll('.question .unseen')].map((mark) => mark.textContent)")
    assert marks == ["U+202E", "U+202C", "U+2066", "U+2069", "U+200F"]
    for place in (".question", ".part.text", ".part.code", ".part.output", ".answer"):
        assert (
            browser.run("return getComputedStyle(document.querySelector(arguments[0])).unicodeBidi", place) == "isolate"
        )
    codes = browser.run("return visible('\\ud800 \\udc00 \\ud83d\\ude42')")
    assert codes == "⟨U+D800⟩ ⟨U+DC00⟩ 🙂"


@pytest.fixture(scope="module")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_report(synthetic_run(tmp_path_factory.mktemp("large") / "run", pool=2084, votes=8))


@pytest.mark.slow
def test_fifty_thousand_trajectories_open_and_filter_at_once(browser: Browser, large_page: Path) -> None:
    paints = []
    for _ in range(4):
        browser.show(large_page)
        browser.until(READY)
        paints.append(browser.until("performance.getEntriesByName('first-contentful-paint')[0]?.startTime"))
    assert min(paints) <= 2000
    assert browser.run("return window.eval('tasks').answered.reduce((sum, n) => sum + n, 0)") == 3 * 2084 * 8
    script = """
        const [name, value, done] = arguments;
        const node = byId(`filter-${name}`);
        node.value = value;
        const start = performance.now();
        node.dispatchEvent(new Event("input", { bubbles: true }));
        requestAnimationFrame(() => setTimeout(() => done([performance.now() - start, byId("found").textContent])));
    """
    for name, values in {
        "text": ("remainder 97", "lcm", "12", "nothing like it", ""),
        "iteration": ("1", "2", "3", ""),
        "label": ("wrong", "right", "none", ""),
        "low": ("0.5", "0.25", "0.75", ""),
        "order": ("sure", "unsure", "steps", ""),
    }.items():
        times = []
        for value in values:
            taken, words = browser.driver.execute_async_script(script, name, value)
            times.append(taken)
            assert words.endswith("of 6,252 tasks")
        assert min(times) <= 300, name
        assert words == "6,252 of 6,252 tasks"
    browser.run("document.getElementById('list').scrollTop = 4000 * 76")
    browser.until("document.querySelector('[aria-posinset=\"4005\"]') !== null")
    assert browser.run("return document.querySelectorAll('.row').length") < 60
    assert browser.run("return document.querySelectorAll('*').length") < 5000
    browser.run("openAt(6000)")
    browser.until("document.querySelector('.facts').textContent.includes('i3-1832') && " + READY)
    assert np.all(
        np.array(browser.run("return [...document.querySelectorAll('.said')].map((x) => x.textContent.length)")) > 10
    )
    assert browser.errors() == []
