"""The task browser in a real browser: filters, keyboard, trajectories, probabilities, hostile text, many tasks."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from coevolve.report.build import build_report
from coevolve.runs.store import RunFolder
from coevolve.runs.summary import summarise

from .browser import Browser
from .synthetic import synthetic_run

READY = "document.querySelector('.said') !== null"


@pytest.fixture(scope="module")
def page(finished_run: Path) -> Path:
    return build_report(finished_run)


@pytest.fixture(scope="module")
def tasks(finished_run: Path) -> list[dict[str, Any]]:
    """Every task of the pools as the run folder has it, with what the meter knows."""
    found = []
    for t in (1, 2, 3):
        rows = pq.read_table(finished_run / f"tasks/iteration-{t}.parquet").to_pylist()
        known = pq.read_table(finished_run / f"meter/tasks-{t}.parquet").to_pylist()
        found += [row | more for row, more in zip(rows, known, strict=True)]
    return found


def found(browser: Browser) -> int:
    return int(browser.run("return document.getElementById('found').textContent").split()[0].replace(",", ""))


def opened(browser: Browser, page: Path, **how: Any) -> None:
    browser.show(page, **how)
    browser.until(READY)


FILTERS: list[tuple[dict[str, str], Callable[[dict[str, Any]], bool]]] = [
    ({"iteration": "2"}, lambda task: task["iteration"] == 2),
    ({"fate": "kept"}, lambda task: task["kept"]),
    ({"fate": "left"}, lambda task: not task["kept"]),
    ({"fate": "outside the gate"}, lambda task: task["reason"] == "outside the gate"),
    ({"label": "right"}, lambda task: task["label"] is not None and task["label_right"]),
    (
        {"label": "wrong", "iteration": "1"},
        lambda t: t["label"] is not None and not t["label_right"] and t["iteration"] == 1,
    ),
    ({"steps": "3"}, lambda task: task["steps"] == 3),
    ({"topic": "lcm"}, lambda task: task["topic"] == "lcm"),
    ({"calls": "2"}, lambda task: 1 < task["tool_calls"] <= 2),
    ({"low": "0.5", "high": "0.75"}, lambda task: 0.5 <= task["p_hat"] <= 0.75),
    ({"text": "REMAINDER of b"}, lambda task: {"remainder", "of", "b"} <= set(task["question"].lower().split())),
]


@pytest.mark.parametrize(("wanted", "fits"), FILTERS, ids=lambda value: str(value) if isinstance(value, dict) else "")
def test_a_filter_finds_the_tasks_of_the_run_folder(
    browser: Browser, page: Path, tasks: list[dict[str, Any]], wanted: dict[str, str], fits: Callable[[Any], bool]
) -> None:
    opened(browser, page)
    for name, value in wanted.items():
        browser.run(
            "const node = byId(arguments[0]); node.value = arguments[1];"
            "node.dispatchEvent(new Event('input', { bubbles: true }))",
            f"filter-{name}",
            value,
        )
    expected = [task["task_id"] for task in tasks if fits(task)]
    listed = browser.run("return listed.map((i) => window.eval('tasks').task_id[i])")
    if "text" in wanted:  # a search also looks into answers and ids
        assert set(expected) <= set(listed)
    else:
        assert listed == expected
    assert 0 < found(browser) == len(listed) < len(tasks)


def test_tasks_are_sorted_as_asked(browser: Browser, page: Path, tasks: list[dict[str, Any]]) -> None:
    opened(browser, page)
    for order, value in (
        ("sure", lambda t: -t["p_hat"]),
        ("unsure", lambda t: t["p_hat"]),
        ("calls", lambda t: -t["tool_calls"]),
    ):
        browser.run("setFilters({ ...ANY, order: arguments[0] })", order)
        listed = browser.run("return listed.map((i) => window.eval('tasks').task_id[i])")
        assert listed == [task["task_id"] for task in sorted(tasks, key=value)]


def test_a_click_on_a_bar_shows_the_tasks_behind_it(browser: Browser, page: Path, finished_run: Path) -> None:
    opened(browser, page)
    pool = summarise(finished_run)["iterations"][2]["pool"]  # type: ignore[index]
    steps, number = next(iter(pool["steps_histogram"].items()))
    place = f'figure[data-title="Length of the questions"] [aria-label^="iteration 2: {number} tasks of {steps} steps"]'
    browser.run("document.querySelector(arguments[0]).dispatchEvent(new MouseEvent('click'))", place)
    assert found(browser) == number
    bar = 'figure[data-title="How sure the executor is of each task"] .small-multiples > div:nth-child(2) .mark.link'
    label = browser.run("return document.querySelector(arguments[0]).getAttribute('aria-label')", bar)
    browser.run(
        "document.querySelector(arguments[0]).dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter' }))", bar
    )
    near = float(label.split("near ")[1].split(":")[0])
    assert found(browser) == pool["p_hat_histogram"][round(10 * near)]
    dot = 'figure[data-title="Accuracy on held-out problems"] [aria-label^="mean@8, iteration 1"]'
    browser.run("document.querySelector(arguments[0]).dispatchEvent(new MouseEvent('click'))", dot)
    assert browser.run("return document.getElementById('found').textContent") == "3 of 12 held-out problems"


def test_the_list_can_be_walked_with_the_keyboard(browser: Browser, page: Path) -> None:
    opened(browser, page)
    place = browser.driver.find_element(By.ID, "list")
    place.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ARROW_DOWN)
    assert browser.run("return document.activeElement.getAttribute('aria-activedescendant')") == "row-2"
    assert browser.run("return document.querySelector('[aria-selected=true]').ariaPosInSet") == "3"
    place.send_keys(Keys.END)
    assert browser.run("return document.querySelector('[aria-selected=true]').ariaPosInSet") == "192"
    place.send_keys(Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "detail"
    browser.until("document.querySelector('.facts').textContent.includes('i3-0063')")


def test_a_trajectory_shows_what_the_run_folder_has(browser: Browser, page: Path, finished_run: Path) -> None:
    opened(browser, page)
    rows = pq.read_table(finished_run / "trajectories/pool-2.parquet").to_pylist()
    task_id = next(row["task_id"] for row in rows if any(call["status"] == "error" for call in row["tool_calls"]))
    browser.run("setFilters({ ...ANY, text: arguments[0] })", task_id)
    browser.until("document.querySelector('.facts').textContent.includes(arguments[0])", task_id)
    script = """
        return [...document.querySelectorAll(".said")].map((said) => ({
          calls: [...said.querySelectorAll(".part.code, .part.output")].map((part) =>
            [part.className, part.lastChild.textContent]),
          answer: said.querySelector(".answer").textContent.trim().replace(/^[A-Z] /, ""),
        }));
    """
    seen = browser.run(script)
    mine = [row for row in rows if row["task_id"] == task_id]
    assert sorted(said["answer"] for said in seen) == sorted(row["answer"] or "no answer" for row in mine)
    calls = [call for row in mine for call in row["tool_calls"]]
    shown = [part for said in seen for part in said["calls"]]
    assert sorted(text for kind, text in shown if kind == "part code") == sorted(call["code"] for call in calls)
    outputs = sorted(("failed" in kind, text) for kind, text in shown if "output" in kind)
    assert outputs == sorted((call["status"] != "ok", call["observation"]) for call in calls)


def test_text_code_and_output_differ_by_more_than_colour(browser: Browser, page: Path) -> None:
    opened(browser, page)
    script = """
        const style = (kind) => {
          const found = getComputedStyle(document.querySelector(`.part.${kind}`));
          return [found.fontFamily, found.borderTopStyle, found.borderLeftStyle, found.marginLeft].join();
        };
        return ["text", "code", "output"].map(style);
    """
    assert len(set(browser.run(script))) == 3
    assert set(browser.run("return [...document.querySelectorAll('.part.code small')].map((x) => x.innerText)")) == {
        "CODE"
    }
    votes = browser.run("return [...document.querySelectorAll('.vote b')].map((x) => x.textContent)")
    assert votes == [chr(65 + i) for i in range(len(votes))]
    assert "known to the meter only" in browser.run("return document.querySelector('.truth').textContent")


def test_probabilities_of_tokens_are_those_of_the_run_folder(browser: Browser, page: Path, finished_run: Path) -> None:
    opened(browser, page)
    rows = pq.read_table(finished_run / "trajectories/pool-1.parquet").to_pylist()
    task_id = "i1-0001"
    browser.run("setFilters({ ...ANY, text: arguments[0] })", task_id)
    browser.until("document.querySelector('.facts').textContent.includes(arguments[0])", task_id)
    browser.run("document.getElementById('probabilities').click()")
    row = next(row for row in rows if row["task_id"] == task_id and row["answer"] is not None)
    first = f'.said[aria-label="Trajectory {row["sample"] + 1}"]'
    parts = "return [...document.querySelectorAll(arguments[0] + ' .part')].map((part) => part.textContent).join('')"
    assert row["text"].split("```")[-1].strip() in browser.run(parts, first)
    last = browser.run("return [...document.querySelectorAll(arguments[0] + ' .token')].at(-1).ariaLabel", first)
    assert last.startswith('"<|endoftext|>", p = ')
    assert f"ln p = {row['logprobs'][-1]:.3f}".replace("-0.000", "0.000") in last.replace("-0.000", "0.000")
    token = browser.driver.find_elements(By.CSS_SELECTOR, f"{first} .token")[0]
    ActionChains(browser.driver).move_to_element(token).perform()
    told = browser.until("byId('tip').hidden ? '' : byId('tip').textContent")
    assert f"{100 * math.exp(row['logprobs'][0]):.1f}" in told
    token.send_keys(Keys.ARROW_RIGHT)
    assert browser.run("return document.activeElement.classList.contains('token')")
    assert browser.errors() == []


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
    folder = RunFolder.open(path, write=True)
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
    opened(browser, hostile_page)
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


def test_fifty_thousand_trajectories_open_and_filter_at_once(browser: Browser, large_page: Path) -> None:
    paints = []
    for _ in range(4):
        opened(browser, large_page)
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
