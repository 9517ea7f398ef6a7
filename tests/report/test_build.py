"""The page: self-contained, safe against what models write, and complete in every state of a run."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from coevolve.errors import RunError
from coevolve.evaluation.phase import run_reports
from coevolve.methods.registry import METHODS, load_config
from coevolve.monitor.summary import logged
from coevolve.report.build import build_report, page_data, render, task_data
from coevolve.report.filling import embedded_json
from coevolve.report.task_index import WRITTEN, read_index
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords

from .synthetic_answers import HOSTILE


class Page(HTMLParser):
    """Elements with their attributes, and the text of the script elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._in_script = True
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = self._in_script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])

    @property
    def tasks(self) -> dict[str, Any]:
        return json.loads(self.scripts[2])

    @property
    def chunks(self) -> list[list[list[dict[str, Any]]]]:
        return [json.loads(zlib.decompress(base64.b64decode(text))) for text in self.scripts[3:]]

    def ids(self) -> set[str | None]:
        return {attributes.get("id") for _, attributes in self.elements}


@pytest.fixture(scope="module")
def page(finished_run: Path) -> Page:
    return Page(build_report(finished_run).read_text(encoding="utf-8"))


def test_the_page_lies_in_the_run_folder(finished_run: Path) -> None:
    assert build_report(finished_run) == finished_run / "report" / "index.html"


def test_nothing_is_loaded_from_elsewhere(page: Page, finished_run: Path) -> None:
    text = (finished_run / "report" / "index.html").read_text(encoding="utf-8")
    code = text
    for stored in (page.scripts[0], *page.scripts[2:]):
        code = code.replace(stored, "")
    assert set(re.findall(r"https?://[^\s\"']+", code)) == {"http://www.w3.org/2000/svg"}  # a name, not a place
    loaded = [attributes.get(key) for _, attributes in page.elements for key in ("src", "href")]
    assert all(value == "data:," or value.startswith("#") for value in loaded if value)
    assert not re.search(r"@import|url\(|XMLHttpRequest|innerHTML|insertAdjacentHTML", code)
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy)
    assert "connect-src" not in str(policy)


def test_only_a_live_page_may_ask_its_server(finished_run: Path) -> None:
    folder = RunRecords.open(finished_run)
    text = render(
        page_data(folder, {"events": "events", "trajectories": "trajectories"}), task_data(read_index(folder))
    )
    page = Page(text)
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy)
    assert str(policy).endswith("connect-src 'self'")
    assert page.data["live"] == {"events": "events", "trajectories": "trajectories"}
    assert page.tasks["at"] is None
    assert page.chunks == []


def test_text_of_a_model_stays_text(page: Page) -> None:
    assert [tag for tag, _ in page.elements].count("script") == 3 + len(page.chunks)
    assert "img" not in [tag for tag, _ in page.elements]
    assert any(question.endswith(HOSTILE) for question in page.tasks["columns"]["question"])
    assert any(sample["text"].startswith(HOSTILE) for chunk in page.chunks for task in chunk for sample in task)


@pytest.mark.parametrize("text", [HOSTILE, "<!--<script>", "]]>", "\ud800", "\\u003c", "é 数"])
def test_embedded_json_gives_back_what_went_in(text: str) -> None:
    stored = embedded_json([text])
    assert not set("<>&\u2028\u2029") & set(stored)
    assert json.loads(stored) == [text.replace("\ud800", "?")]


def test_a_number_that_json_lacks_is_an_error() -> None:
    with pytest.raises(RunError, match="cannot be shown"):
        embedded_json({"x": float("nan")})


def test_every_place_that_the_script_fills_exists(page: Page) -> None:
    made = set(re.findall(r'\bid: "([a-z-]+)"', page.scripts[1]))
    wanted = set(re.findall(r'byId\("([a-z-]+)"\)', page.scripts[1]))
    assert wanted <= page.ids() | made


def test_the_page_holds_the_summary_and_all_figures_sources(page: Page, finished_run: Path) -> None:
    data = page.data
    summary = logged(RunRecords.open(finished_run))
    entries: Any = summary["iterations"]
    figures = {figure["title"]: figure for figure in data["figures"]}
    mean, majority, greedy = figures["Accuracy on held-out problems"]["series"]
    held_out = [entry["held_out"] for entry in entries]
    assert mean["values"] == [[t, held["mean_at_8"], *held["ci95"]] for t, held in enumerate(held_out)]
    assert majority["values"] == [[t, held["maj_at_8"]] for t, held in enumerate(held_out)]
    assert greedy["values"] == [[t, held["greedy"]] for t, held in enumerate(held_out)]
    assert [len(line["values"]) for line in figures["Entropy"]["series"]] == [30, 36]  # steps of each agent
    panels = figures["How sure the executor is of each task"]["panels"]
    bins = [[bar["value"] for bar in panel["groups"][0]["bars"]] for panel in panels]
    assert bins == [entry["pool"]["p_hat_histogram"] for entry in entries[1:]]
    assert [panel["window"] for panel in panels] == [pytest.approx([3.05, 8.95])] * 3  # the gate: 0.3 to 0.8
    assert data["time"]["wall_s"] == summary["wall_s"]
    assert len(data["time"]["phases"]) == 13
    assert "preset: mini" in data["run"]["config"]


def test_the_agents_have_the_labels_of_the_method_and_what_they_do(page: Page) -> None:
    told = [(agent["label"], agent["does"]) for agent in page.data["agents"]]
    assert told == [
        ("curriculum agent", "writes tasks the executor cannot quite solve reliably yet"),
        ("executor", "learns to solve them with Python"),
    ]


def test_the_headline_says_what_happened(page: Page) -> None:
    text = page.data["headline"].replace("\u00a0", " ")
    assert text == "In 3 iterations without any data, accuracy on held-out problems rose from 9.4 % to 66.0 %."
    assert page.data["standing"] == ""


def test_parts_of_the_page_have_names_for_a_screen_reader(page: Page) -> None:
    sections = [attributes for tag, attributes in page.elements if tag == "section"]
    assert all(attributes.get("aria-labelledby") in page.ids() for attributes in sections)
    assert ("html", {"lang": "en"}) in page.elements


@pytest.mark.parametrize(
    "until",
    [
        "iteration-0/evaluate",
        "iteration-1/curriculum",
        "iteration-1/pool",
        "iteration-1/executor",
        "iteration-1/evaluate",
    ],
)
def test_a_run_in_progress_has_a_page_too(make_run: Callable[..., Path], until: str) -> None:
    path = make_run(until=until, pool=8)
    page = Page(build_report(path).read_text(encoding="utf-8"))
    data = page.data
    assert data["standing"].startswith("This run has not finished (status: stopped)")
    pools = page.tasks["columns"]["origin"].count(WRITTEN)
    assert pools == (8 if until in ("iteration-1/executor", "iteration-1/evaluate") else 0)


def test_work_in_progress_of_a_later_pool_is_not_shown(make_run: Callable[..., Path]) -> None:
    path = make_run(until="iteration-1/executor", pool=4)
    folder = RunFolder.open(path)
    folder.begin("iteration-1/executor")
    folder.write_table("tasks/iteration-2.parquet", [{"iteration": 2, "task_id": "x", "question": "half"}])
    folder.close()
    columns = Page(build_report(path).read_text(encoding="utf-8")).tasks["columns"]
    assert set(columns["task_id"]) - {"h0", "h1", "h2"} == {f"i1-{number:04d}" for number in range(4)}


def test_a_damaged_table_is_named(make_run: Callable[..., Path]) -> None:
    path = make_run(pool=4)
    table = path / "tasks" / "iteration-2.parquet"
    table.write_bytes(table.read_bytes()[:100])
    with pytest.raises(RunError, match="damaged") as caught:
        build_report(path)
    assert caught.value.where == str(table)


def test_a_full_disk_leaves_the_older_page(make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_run(pool=4)
    before = build_report(path).read_bytes()

    def no_space(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", no_space)
    with pytest.raises(RunError, match="disk is full") as caught:
        build_report(path)
    assert "coevolve report" in caught.value.fix
    assert (path / "report" / "index.html").read_bytes() == before


def test_no_template_names_a_phase_an_agent_or_an_event() -> None:
    names = set()
    for name, method in METHODS.items():
        config = load_config(preset=method.default_preset, method=name)
        names |= {word for agent in method.agents(config) for word in (agent.id, agent.label)}
        for report in run_reports(config):
            names |= {report.name, report.shown, report.step_event or report.name, *report.notices}
    assert {"curriculum", "executor_step", "pool", "evaluate", "challenger", "proposer", "rollback"} <= names
    names -= {"held-out"}  # what the evaluation measures, on every page
    whole = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})s?\b", re.IGNORECASE)
    folder = files("coevolve.report") / "templates"
    found = {template.name: whole.findall(template.read_text()) for template in folder.iterdir()}
    assert len(found) > 20
    assert {name: words for name, words in found.items() if words} == {}
