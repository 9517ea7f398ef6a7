"""The page in a real browser: it needs no network, draws what the run measured, and says so to everybody."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coevolve.methods.figures import RunView, as_json, merged
from coevolve.methods.phases.trial_report import trial_report
from coevolve.methods.reporting import Better, PhaseReport, Quantity, Unit
from coevolve.monitor.summary import summarise
from coevolve.report.build import build_report, page_data, page_parts, render, task_data
from coevolve.report.live import phase_kinds
from coevolve.report.task_index import TaskIndex
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords

from .browser import READY, Browser
from .synthetic import ACCURACY


@pytest.fixture(scope="module")
def page(finished_run: Path) -> Path:
    return build_report(finished_run)


def colour(browser: Browser, name: str) -> np.ndarray:
    """A colour of the style sheet as three bytes."""
    script = """
        const probe = document.body.appendChild(document.createElement("i"));
        probe.style.color = `var(${arguments[0]})`;
        const found = getComputedStyle(probe).color;
        probe.remove();
        return found;
    """
    return np.array(re.findall(r"\d+", browser.run(script, name))[:3], dtype=int)


def painted(picture: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where a picture has a colour, as [height, width] truth values."""
    return (abs(picture.astype(int) - wanted) <= 6).all(axis=2)


def figure(title: str) -> str:
    return f'figure[data-title="{title}"]'


def test_a_finished_run_opens_without_a_network_and_without_errors(browser: Browser, page: Path) -> None:
    browser.show(page)
    browser.until(READY)
    assert {address.split(":")[0] for address in browser.requests()} <= {"file", "data"}
    assert browser.errors() == []
    assert browser.driver.title == "agent0-mini-0 · coevolve"


@pytest.mark.parametrize(
    "until", ["iteration-0/evaluate", "iteration-1/curriculum", "iteration-1/pool", "iteration-1/evaluate"]
)
def test_a_run_in_progress_has_no_errors(browser: Browser, make_run: Callable[..., Path], until: str) -> None:
    browser.show(build_report(make_run(until=until, pool=8)))
    browser.until("document.getElementById('browser').childElementCount > 0")
    assert browser.errors() == []


def test_the_accuracy_line_is_painted_where_the_numbers_are(browser: Browser, page: Path) -> None:
    browser.show(page)
    browser.until(READY)
    plot = figure("Accuracy on held-out problems") + " .plot svg"
    script = """
        const [chart, name] = [document.querySelector(arguments[0]), arguments[1]];
        const box = chart.getBoundingClientRect();
        const ticks = [...chart.querySelectorAll("text")].filter((text) => text.textContent.endsWith("%"));
        const level = (wanted) => {
          const text = ticks.find((tick) => tick.textContent.replace(/\\D/g, "") === wanted).getBoundingClientRect();
          return (text.top + text.bottom) / 2 - box.top;
        };
        const named = [...chart.querySelectorAll("text")].find((text) => text.textContent === name);
        const base = named.getBoundingClientRect();
        return { zero: level("0"), full: level("100"), x: (base.left + base.right) / 2 - box.left };
    """
    line = painted(browser.pixels(plot), colour(browser, "--agent-1"))
    for iteration, name in ((0, "base"), (3, "iteration 3")):
        scale = browser.run(script, plot, name)
        expected = scale["zero"] + (scale["full"] - scale["zero"]) * ACCURACY[iteration]
        around = line[round(expected) - 3 : round(expected) + 4, round(scale["x"]) - 4 : round(scale["x"]) + 5]
        assert around.mean() > 0.5, f"no dot for {name}"
    browser.run("document.querySelector(arguments[0]).style.display = 'none'", plot + " g")
    assert line.sum() > 600
    browser.run("for (const mark of document.querySelectorAll(arguments[0])) mark.remove()", plot + " *")
    assert painted(browser.pixels(plot), colour(browser, "--agent-1")).sum() == 0


@pytest.mark.parametrize("iterations", [3, 10])
def test_the_names_of_the_iterations_below_a_chart_do_not_run_into_each_other(
    browser: Browser, make_run: Callable[..., Path], iterations: int
) -> None:
    browser.show(build_report(make_run(iterations=iterations, pool=4)))
    browser.until(READY)
    script = """
        return [...document.querySelectorAll(".plot svg")].map((chart) => [...chart.querySelectorAll("text")]
          .filter((text) => /^(base|(iteration )?\\d+)$/.test(text.textContent))
          .map((text) => text.getBoundingClientRect()).map((box) => [Math.round(box.top), box.left, box.right]));
    """
    charts = [sorted(chart) for chart in browser.run(script) if len(chart) > 1]
    assert charts
    for chart in charts:
        for (row, _, right), (other, left, _) in pairwise(chart):
            assert row != other or right < left


def test_bars_are_as_tall_as_their_numbers(browser: Browser, page: Path, finished_run: Path) -> None:
    browser.show(page)
    browser.until(READY)
    counts = summarise(finished_run)["iterations"][1]["pool"]["p_hat_histogram"]  # type: ignore[index]
    chart = figure("How sure the executor is of each task") + " .small-multiples > div:first-child svg"
    picture = browser.pixels(chart)
    bars = painted(picture, colour(browser, "--agent-1")) | painted(picture, colour(browser, "--none"))
    edges = np.linspace(4, picture.shape[1] - 4, 12).round().astype(int)
    heights = np.array([bars[:, a:b].sum(axis=0).max() for a, b in pairwise(edges)])
    tallest = heights[int(np.argmax(counts))]
    for count, height in zip(counts, heights, strict=True):
        assert abs(height - tallest * count / max(counts)) <= 3


@pytest.mark.parametrize("width", [390, 800, 1440])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_cut_off_or_covered(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.show(page, width=width, dark=dark)
    browser.until(READY)
    assert browser.run("return document.documentElement.scrollWidth") == width
    script = """
        const texts = (chart) =>
          [...chart.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
        const wrong = [];
        for (const frame of document.querySelectorAll("figure")) {
          const edge = frame.getBoundingClientRect();
          for (const chart of frame.querySelectorAll("svg")) {
            const found = texts(chart);
            for (const [name, box] of found) {
              if (box.left < edge.left || box.right > edge.right) wrong.push(`${name} is cut off`);
            }
            found.forEach(([name, a], i) => found.slice(i + 1).forEach(([other, b]) => {
              const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
              const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
              if (wide > 1 && high > 4) wrong.push(`${frame.dataset.title}: ${name} covers ${other}`);
            }));
          }
        }
        return wrong;
    """
    assert browser.run(script) == []


def luminance(colour: np.ndarray) -> float:
    """Relative luminance (WCAG 2.2) of an sRGB colour in bytes."""
    part = colour / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_can_be_read_on_what_it_stands_on(browser: Browser, page: Path, dark: bool) -> None:
    browser.show(page, dark=dark)
    browser.until(READY)
    paper = browser.pixels("h1")[0, -1]
    assert (luminance(paper) < 0.05) is dark
    pairs = [
        (ink, ground) for ink in ("--ink", "--soft", "--good", "--bad", "--watch") for ground in ("--paper", "--card")
    ]
    pairs += [(agent, "--card") for agent in ("--warm", "--accent", *(f"--agent-{i}" for i in range(4)))]
    pairs += [(f"--on{i}", f"--v{i}") for i in range(6)] + [
        ("--ink", "--code"),
        ("--ink", "--output"),
        ("--ink", "--failed"),
    ]
    for ink, ground in pairs:
        a, b = sorted((luminance(colour(browser, name)) for name in (ink, ground)), reverse=True)
        assert (a + 0.05) / (b + 0.05) >= 4.5, f"{ink} on {ground}"


def test_the_theme_can_be_chosen(browser: Browser, page: Path) -> None:
    browser.show(page)
    browser.until(READY)
    before = luminance(browser.pixels("h1")[0, -1])
    browser.run("document.getElementById('theme').click()")
    assert luminance(browser.pixels("h1")[0, -1]) < before / 4
    browser.run("document.getElementById('theme').click()")


def test_the_numbers_of_a_figure_are_one_click_away(browser: Browser, page: Path, finished_run: Path) -> None:
    browser.show(page)
    browser.until(READY)
    frame = figure("Accuracy on held-out problems")
    browser.run(f"document.querySelector('{frame} figcaption button').click()")
    cells = browser.run(
        f"return [...document.querySelectorAll('{frame} .data tbody td')].map((cell) => cell.textContent)"
    )
    rows = np.array(cells).reshape(4, -1)
    held_out = [entry["held_out"] for entry in summarise(finished_run)["iterations"]]  # type: ignore[union-attr,attr-defined]
    assert rows[:, 1].astype(float).tolist() == [entry["mean_at_8"] for entry in held_out]
    assert rows[:, 2].astype(float).tolist() == pytest.approx([entry["ci95"][0] for entry in held_out], rel=1e-5)
    table = [["a,b", 'say "x"', None], ["two\nlines", 1.5, 0]]
    assert browser.run("return csv(arguments[0])", table) == '"a,b","say ""x""",\n"two\nlines",1.5,0'


def newer(browser: Browser) -> dict[str, Any]:
    return json.loads(browser.run("return document.getElementById('data').textContent"))


def test_new_data_redraws_the_page_and_leaves_the_reader_where_they_were(browser: Browser, page: Path) -> None:
    browser.show(page)
    browser.until(READY)
    browser.run("setFilters({ ...ANY, iteration: '2' }); openAt(5)")
    browser.until("document.querySelector('.facts').textContent.includes('i2-0005')")
    browser.run("document.querySelector('figcaption button').click()")
    browser.run("window.scrollTo({ top: 1500, behavior: 'instant' })")
    place = "return document.getElementById('health').getBoundingClientRect().top"
    seen = browser.run(place)
    data = newer(browser)
    data["headline"] = "Something new"
    accuracy = next(figure for figure in data["figures"] if figure["title"] == "Accuracy on held-out problems")
    accuracy["series"][0]["values"][3][1] = 0.999
    browser.run("coevolvePage.update(arguments[0])", data)
    browser.until("document.getElementById('headline').textContent === 'Something new'")
    assert browser.run(place) == pytest.approx(seen, abs=1)  # the headline above is a line shorter
    assert browser.run("return document.getElementById('found').textContent") == "64 of 192 tasks"
    assert "i2-0005" in browser.run("return document.querySelector('.facts').textContent")
    assert browser.run("return document.querySelectorAll('.data').length") == 1
    assert "99.9" in browser.run("return document.querySelector('#outcome').innerHTML")
    assert browser.errors() == []


def test_new_tasks_join_the_list_while_one_is_open(browser: Browser, page: Path) -> None:
    browser.show(page)
    browser.until(READY)
    browser.run("setFilters({ ...ANY, fate: 'kept' }); openAt(3)")
    before = browser.run("return [listed.length, openKey]")
    data = newer(browser)
    tasks = json.loads(browser.run("return document.getElementById('tasks-data').textContent"))
    for name, column in tasks["columns"].items():
        values = column["codes"] if isinstance(column, dict) else column
        values.append(
            "new" if name == "task_id" else values[next(i for i, kept in enumerate(tasks["columns"]["kept"]) if kept)]
        )
    tasks["at"].append(None)
    tasks["answered"].append(0)
    browser.run("coevolvePage.update(arguments[0])", data | {"tasks": tasks | {"n": tasks["n"] + 1}})
    assert browser.run("return [listed.length, openKey]") == [before[0] + 1, before[1]]
    assert browser.run("return document.querySelector('[aria-selected=true]') !== null")
    assert browser.errors() == []


def test_what_the_run_found_wrong_stands_above_the_rest(browser: Browser, page: Path) -> None:
    browser.show(page)
    browser.until(READY)
    assert browser.run("return document.getElementById('notices').hidden")
    data = newer(browser)
    told = {"iteration": 2, "tone": "bad", "title": "Rolled back", "text": "it became worse", "mark": "rolled back"}
    other = {"iteration": 3, "tone": "bad", "title": "Alarm", "text": "too easy", "mark": ""}
    browser.run("coevolvePage.update(arguments[0])", data | {"notices": [told, other]})
    assert "it became worse" in browser.run("return document.getElementById('notices').innerText")
    assert browser.run("return document.querySelectorAll('#outcome line.event').length") == 2


def test_a_run_that_skipped_updates_or_logged_vote_entropy_has_figures_of_them(
    browser: Browser, make_run: Callable[..., Path]
) -> None:
    path = make_run(iterations=1, pool=4, until="iteration-1/evaluate")
    titles = {figure["title"] for figure in page_data(RunRecords.open(path))["figures"]}
    more = {"Skipped updates", "Disagreement of the votes"}
    assert not more & titles
    folder = RunFolder.open(path)
    folder.begin("iteration-1/evaluate")
    rows = folder.records.metrics()
    pool = next(row for row in rows if row["event"] == "pool")
    step = next(row for row in rows if row["event"] == "executor_step")
    folder.log(pool | {"vote_entropy": 0.5})
    folder.log(step | {"skipped_updates": 1})
    folder.finish("iteration-1/evaluate", [])
    folder.close()
    browser.show(build_report(path))
    browser.until(READY)
    titles = set(browser.run("return [...document.querySelectorAll('figure')].map((frame) => frame.dataset.title)"))
    assert more <= titles
    assert browser.errors() == []


def test_the_first_look_which_is_made_once_draws_nothing_by_iteration(finished_run: Path) -> None:
    rows = [{"event": "trial", "iteration": 0, "votes": 4, "texts": {"texts": 24}, "answers": {"answers": 40}}]
    view = RunView({"iterations": []}, rows, RunRecords.open(finished_run).config, (), "solver")
    assert page_parts(view, [trial_report()]) == []


def test_a_method_that_declares_no_figures_has_a_page_with_its_numbers(browser: Browser, finished_run: Path) -> None:
    """Phases, agents and events that no template has heard of."""
    folder = RunRecords.open(finished_run)
    score = Quantity(
        "elo", "rating", ("duel", "elo"), Unit.PER_ANSWER, Better.HIGHER, first=1, meaning="of each player"
    )
    reports = [PhaseReport("duel", "game evening", quantities=(score,), agent="white"), PhaseReport("rest")]
    entries = [{"iteration": t, "duel": {"elo": 1000 + 100 * t} if t else None} for t in range(4)]
    steps = [
        {"event": "duel_step", "iteration": t, "step": s, "steps": 2, "moves": 10 * t + s}
        for t in (1, 2)
        for s in (1, 2)
    ]
    rows = [*steps, {"event": "rest", "iteration": 1, "naps": 3}, {"event": "rest", "iteration": 2, "naps": 5}]
    agents = [{"id": "white", "label": "first player", "does": "begins"}, {"id": "x", "label": "<b>", "does": ""}]
    view = RunView({"iterations": entries}, rows, folder.config, (), "white")
    parts = page_parts(view, reports)
    data = page_data(folder) | {"agents": agents, "stats": [], "phases": phase_kinds(reports)}
    data["figures"] = [as_json(figure) for figure in merged(parts)]
    page = finished_run.parent / "unknown.html"
    page.write_text(render(data, task_data(TaskIndex())), encoding="utf-8")
    browser.show(page)
    browser.until("document.querySelectorAll('#agents svg, #health svg').length === 3")
    script = "return [...document.querySelectorAll('main figure')].map((frame) => frame.dataset.title)"
    titles = browser.run(script)[:3]
    assert titles == ["rating", "rest: naps", "game evening: moves"]
    marks = "return [...document.querySelectorAll(arguments[0] + ' .mark')].map((mark) => mark.ariaLabel)"
    assert browser.run(marks, figure("rating"))[-1] == "rating, iteration 3: 1300.00"
    assert browser.run(marks, figure("rest: naps")) == ["naps, iteration 1: 3.00", "naps, iteration 2: 5.00"]
    assert browser.run(marks, figure("game evening: moves"))[-1] == "moves, iteration 2, step 2: 22.00"
    assert browser.run("return document.getElementById('who').textContent") == "The first player begins; the <b>."
    assert browser.run("return document.getElementById('agents-title').textContent") == "How the two agents change"
    assert browser.errors() == []
