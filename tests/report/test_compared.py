"""The page of several runs in a real browser: no network, numbers where they belong, hostile names as text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coevolve.commands.compare import comparison_json
from coevolve.report.compared import headline, write_comparison
from coevolve.studies.comparison import read_runs
from coevolve.studies.side_by_side import side_by_side

from .browser import Browser

Fabricated = Callable[..., Path]
HOSTILE = "<img src=x onerror=document.title='taken'>"
FOREST = 'figure[data-title="Difference to mini"] .plot svg'


def compared(folders: list[Path], target: Path) -> tuple[Path, dict[str, object]]:
    runs = read_runs(folders)
    data = comparison_json(side_by_side(runs), runs)
    return write_comparison(data, target), data


@pytest.fixture(scope="module")
def page(fabricated: Fabricated, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    base = tmp_path_factory.mktemp("compared")
    worse = {"means": (0.12, 0.2, 0.3, 0.4), "tool": {"enabled": False}}
    folders = [fabricated(base / f"mini-s{seed}", seed=seed) for seed in (0, 1, 2)]
    folders += [fabricated(base / f"no-tool-s{seed}", seed=seed, **worse) for seed in (0, 1, 2)]
    folders.append(fabricated(base / HOSTILE, seed=1, objective="grpo"))
    return compared(folders, base / "page.html")


@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_without_a_network_without_errors_and_fits(
    browser: Browser, page: tuple[Path, dict[str, object]], width: int
) -> None:
    browser.show(page[0], width=width, dark=width < 600)
    browser.until(f"document.querySelector({json.dumps(FOREST)}) !== null")
    assert {address.split(":")[0] for address in browser.requests()} <= {"file", "data"}
    assert browser.errors() == []
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.run("return document.querySelectorAll('.plot svg').length") == 6
    assert browser.run("return document.documentElement.dataset.theme") == ("dark" if width < 600 else "light")


def test_names_are_shown_as_text(browser: Browser, page: tuple[Path, dict[str, object]]) -> None:
    browser.show(page[0])
    browser.until(f"document.querySelector({json.dumps(FOREST)}) !== null")
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.run("return document.title") == f"mini · no-tool · {HOSTILE} · coevolve"
    assert HOSTILE in browser.run("return document.querySelector('#levels').textContent")


def test_a_difference_is_painted_where_the_axis_says(browser: Browser, page: tuple[Path, dict[str, object]]) -> None:
    """Position of the dot of no-tool in the picture against the labels of the axis."""
    browser.show(page[0])
    browser.until(f"document.querySelector({json.dumps(FOREST)}) !== null")
    script = """
        const chart = document.querySelector(arguments[0]);
        const box = chart.getBoundingClientRect();
        const ticks = [...chart.querySelectorAll("text[text-anchor=middle]")].map((text) => {
          const place = text.getBoundingClientRect();
          return [Number(text.textContent.replace("−", "-")), (place.left + place.right) / 2 - box.left];
        });
        const label = [...chart.querySelectorAll("text.label")].find((text) => text.textContent === "no-tool");
        const row = label.getBoundingClientRect();
        return { ticks, y: (row.top + row.bottom) / 2 - box.top, right: row.right - box.left,
          ink: getComputedStyle(label).fill.match(/\\d+/g).map(Number) };
    """
    seen = browser.run(script, FOREST)
    picture = browser.pixels(FOREST).astype(int)
    coloured = (abs(picture - np.array(seen["ink"])) <= 6).all(axis=2)
    coloured[:, : int(seen["right"]) + 2] = False  # its name has the same colour
    rows, columns = np.nonzero(coloured)
    difference = page[1]["settings"][1]["difference"]  # type: ignore[index]
    values, places = zip(*sorted(seen["ticks"]), strict=True)
    scale = np.polyfit(values, places, 1)
    for end, found in (("low", columns.min()), ("high", columns.max())):
        assert found == pytest.approx(np.polyval(scale, 100 * difference[end]), abs=3)
    tall = columns[abs(rows - seen["y"]) > 3]  # the line is thin, only the dot is this tall
    assert tall.mean() == pytest.approx(np.polyval(scale, 100 * difference["mean"]), abs=2)


def test_the_headline_names_who_can_be_told_apart(fabricated: Fabricated, tmp_path: Path) -> None:
    def three(name: str, **how: object) -> list[Path]:
        return [fabricated(tmp_path / f"{name}-s{seed}", seed=seed, **how) for seed in (0, 1, 2)]

    same = [*three("a"), *three("b")]
    assert headline(compared(same, tmp_path / "x.html")[1]) == "b and a cannot be told apart."
    worse = [three(f"c{i}", means=(0.1, 0.1 + i / 50)) for i in range(5)]
    five = compared([*same, *(folder for row in worse for folder in row)], tmp_path / "x.html")[1]
    assert headline(five) == "5 of 6 settings differ from a."
    assert re.fullmatch(
        r"c0 is [0-9]+\.[0-9] points below a; 1 other cannot be told apart from it\.",
        headline(compared([*same, *worse[0]], tmp_path / "x.html")[1]),
    )
    assert headline(compared(same[:1], tmp_path / "x.html")[1]) == "a, over 1 seed."
    alone = compared([same[0], worse[4][0]], tmp_path / "x.html")[1]
    assert headline(alone) == "No verdict against a: that takes two seeds or more of each setting."
