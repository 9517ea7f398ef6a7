"""A real browser under the control of a test, and what it saw: pixels, errors, requests."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
READY = "document.querySelector('.said') !== null"  # of a page with trajectories: all of it is drawn
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


def missing_browser() -> None:
    """Skip, or fail where the environment says that a browser has to be there, when there is none."""
    if CHROMIUM and DRIVER:
        return
    reason = "needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)"
    if os.environ.get("COEVOLVE_BROWSER_REQUIRED") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class Browser:
    """One window of Chromium."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for argument in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))

    def close(self) -> None:
        self.driver.quit()

    def clear(self) -> None:
        """Leave the page and forget what was logged."""
        self.driver.get("about:blank")
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)

    def show(self, address: str | Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a file or an address, as a window of this size and a system of this colour scheme would."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get(address.as_uri() if isinstance(address, Path) else address)

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns; it may ``return`` a promise."""
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: str, *arguments: object, seconds: float = 20) -> Any:
        """The value of an expression once it is true.

        Raises:
            AssertionError: it did not become true in time.
        """
        deadline = time.monotonic() + seconds
        while not (value := self.run(f"return {condition}", *arguments)):
            assert time.monotonic() < deadline, f"never true: {condition}"
            time.sleep(0.02)
        return value

    def errors(self) -> list[str]:
        """Messages of the console that are errors or warnings, since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def pixels(self, element: str) -> np.ndarray:
        """The picture of an element (CSS selector) as [height, width, 3] bytes."""
        script = """
            const box = document.querySelector(arguments[0]).getBoundingClientRect();
            return { x: box.left + scrollX, y: box.top + scrollY, width: box.width, height: box.height, scale: 1 };
        """
        clip = self.run(script, element)
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
        return read_png(base64.b64decode(taken["data"]))


def read_png(data: bytes) -> np.ndarray:
    """A PNG of 8-bit RGB or RGBA without interlacing, as browsers write it, as [height, width, 3] bytes."""
    chunks: dict[bytes, bytes] = {}
    position = 8
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        chunks[kind] = chunks.get(kind, b"") + data[position + 8 : position + 8 + length]
        position += 12 + length
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, interlaced) == (8, 0)
    channels = {2: 3, 6: 4}[colour]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width * channels)
    picture = np.zeros((height + 1, width + 1, channels), np.int64)  # a border of zeros above and to the left
    for y, line in enumerate(lines, 1):
        _unfilter(picture, y, int(line[0]), line[1:].reshape(width, channels).astype(np.int64))
    return picture[1:, 1:, :3].astype(np.uint8)


def _unfilter(picture: np.ndarray, y: int, filtered: int, line: np.ndarray) -> None:
    """Fill line y of a picture from its filtered bytes (PNG specification, section 9)."""
    row, above = picture[y], picture[y - 1]
    if filtered == 0:
        row[1:] = line
    elif filtered == 1:
        row[1:] = np.cumsum(line, axis=0) % 256
    elif filtered == 2:
        row[1:] = (line + above[1:]) % 256
    else:
        for x in range(1, len(row)):
            left, up, corner = row[x - 1], above[x], above[x - 1]
            guess = (left + up) // 2 if filtered == 3 else _paeth(left, up, corner)
            row[x] = (line[x - 1] + guess) % 256


def _paeth(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    estimate = left + up - corner
    a, b, c = (abs(estimate - value) for value in (left, up, corner))
    return np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
