"""The task browser in a real browser: filters, orders, keyboard, trajectories, probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from coevolve.monitor.summary import summarise
from coevolve.report.build import build_report

from .browser import READY, Browser


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
