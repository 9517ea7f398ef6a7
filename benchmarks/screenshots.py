"""Pictures of a run's page for the documentation, taken in a real browser.

    python benchmarks/screenshots.py RUN [--out docs/images]

Needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver) and selenium (in the extra `test`).
The page is made anew first. The pictures are WebP, less than 400 kB together.
"""

from __future__ import annotations

import argparse
import base64
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from chromium import start_browser
from selenium import webdriver

from coevolve.report.build import build_report

MOST_BYTES = 400_000
PATIENCE_S = 30


@dataclass(frozen=True)
class Picture:
    """What one picture shows."""

    name: str
    width: int
    height: int
    top: str  # CSS selector of what stands at its upper edge
    dark: bool = False
    before: str = ""  # script that puts the page into the state to be shown
    scale: float = 1.0


SHOWN = "openAt(Math.max(0, listed.findIndex((i) => tasks.counts[i].length > 1 && tasks.tool_calls[i] > 1)));"
PICTURES = (
    Picture("outcome", 1440, 860, "body"),
    Picture("health-dark", 1440, 900, "#health-title", dark=True),
    Picture("tasks", 1440, 920, "#browser", before="setFilters({ ...ANY, fate: 'kept', label: 'wrong' });" + SHOWN),
    Picture(
        "probabilities",
        1440,
        760,
        ".browse",
        before="setFilters({ ...ANY, fate: 'kept', iteration: '1' });"
        + SHOWN
        + "probabilities = true; openAt(current);",
    ),
    Picture("phone", 390, 844, "#outcome", scale=1.5),
)


def take(browser: webdriver.Chrome, page: Path, picture: Picture) -> bytes:
    """One picture as WebP."""
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if picture.dark else "light"}]
    size = {"width": picture.width, "height": picture.height, "deviceScaleFactor": picture.scale, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    wait(browser, "document.querySelector('.said') !== null")
    if picture.before:
        browser.execute_script(picture.before)
        wait(browser, "document.querySelector('.said') !== null")
        time.sleep(0.5)  # an opened task is drawn when its trajectories are there
    browser.execute_script(
        "document.querySelector('.top').style.position = 'static';"
        "document.querySelector('.pane').style.position = 'static';"
    )
    top = browser.execute_script(
        "return document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY", picture.top
    )
    clip = {"x": 0, "y": max(0, top - 20), "width": picture.width, "height": picture.height, "scale": 1}
    options = {"format": "webp", "quality": 82, "clip": clip, "captureBeyondViewport": True}
    return base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", options)["data"])


def wait(browser: webdriver.Chrome, condition: str) -> None:
    """Until a condition of the page is true.

    Raises:
        SystemExit: it did not become true.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not browser.execute_script(f"return {condition}"):
        if time.monotonic() > deadline:
            sys.exit(f"the page never came to this: {condition}")
        time.sleep(0.05)


def main() -> None:
    """Parse, take, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs/images")
    asked = parser.parse_args()
    page = build_report(asked.run)
    asked.out.mkdir(parents=True, exist_ok=True)
    browser = start_browser()
    if browser is None:
        sys.exit("chromium or chromedriver is missing (Debian: apt-get install chromium chromium-driver)")
    try:
        pictures = {picture.name: take(browser, page, picture) for picture in PICTURES}
    finally:
        browser.quit()
    total = sum(map(len, pictures.values()))
    if total > MOST_BYTES:
        sys.exit(f"the pictures take {total:,} bytes, more than {MOST_BYTES:,}")
    for name, data in pictures.items():
        (asked.out / f"{name}.webp").write_bytes(data)
        print(f"{asked.out / name}.webp   {len(data):,} bytes")


if __name__ == "__main__":
    main()
