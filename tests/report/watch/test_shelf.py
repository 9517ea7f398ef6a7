"""A folder with several runs: a line each, and every run under its own address."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder

Served = Callable[..., Any]


@pytest.fixture
def runs(make_run: Callable[..., Path], tmp_path: Path) -> Path:
    """One finished run, one that was stopped, and one that is deeper and has a name that needs care."""
    place = tmp_path / "runs"
    place.mkdir()
    make_run(iterations=2, pool=8).rename(place / "agent0-mini-0")
    make_run(until="iteration-1/pool", iterations=2, pool=8).rename(place / "half")
    (place / "study").mkdir()
    RunFolder.create(place / "study" / "a b&c#<i>", CoevolutionConfig(iterations=1, seed=3)).close()
    (place / "notes").mkdir()
    return place


def lines(client: Any) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in client.get("/data").json()["runs"]}


def test_each_run_has_a_line_with_how_it_stands(served: Served, runs: Path) -> None:
    with served(runs) as client:
        found = lines(client)
        assert client.get("/").status == 200
    assert {name: line["state"] for name, line in found.items()} == {
        "agent0-mini-0": "finished",
        "half": "stopped",
        "study/a b&c#<i>": "stopped",
    }
    whole = found["agent0-mini-0"]
    assert (whole["iteration"], whole["iterations"], whole["base"], whole["held_out"]) == (2, 2, 0.094, 0.58)
    assert found["half"]["held_out"] == 0.094
    assert found["study/a b&c#<i>"]["held_out"] is None


def test_every_run_is_under_its_own_name(served: Served, runs: Path) -> None:
    with served(runs) as client:
        assert client.get("/runs/agent0-mini-0/data").json()["page"]["run"]["name"] == "agent0-mini-0"
        name = "study%2Fa%20b%26c%23%3Ci%3E"
        assert client.get(f"/runs/{name}/data").json()["page"]["run"]["name"] == "a b&c#<i>"
        assert client.wait_for(lambda told: True, f"/runs/{name}/events")["state"] == "stopped"
        page = client.get(f"/runs/{name}/").body.decode()
        assert "<i>" not in re.search(r"<title>(.*?)</title>", page, re.DOTALL)[1]  # type: ignore[index]
        for absent in ("notes", "study", "none", "agent0-mini-0%2F", "..%2Fruns%2Fhalf", "%2e%2e"):
            assert client.get(f"/runs/{absent}/data").status == 404
        assert client.get("/trajectories?origin=0&iteration=1&task=x").status == 404


def test_a_run_that_begins_appears(served: Served, runs: Path) -> None:
    with served(runs) as client, client.listening() as news:
        first = next(news)
        folder = RunFolder.create(runs / "new", CoevolutionConfig(iterations=1))
        assert next(news) != first
        assert lines(client)["new"]["state"] == "running"
        folder.close()


def test_a_damaged_run_has_a_line_that_says_so(served: Served, runs: Path) -> None:
    (runs / "half" / "manifest.json").write_text("{")
    with served(runs) as client:
        line = lines(client)["half"]
    assert line["state"] == "unreadable"
    assert "damaged" in line["problem"]


def test_an_empty_folder_waits_for_its_first_run(served: Served, tmp_path: Path) -> None:
    with served(tmp_path) as client:
        assert client.get("/data").json()["runs"] == []
        RunFolder.create(tmp_path / "first", CoevolutionConfig(iterations=1)).close()
        with client.listening() as news:
            next(told for told in news if client.get("/data").json()["runs"])


def test_the_index_holds_names_as_data(served: Served, runs: Path) -> None:
    RunFolder.create(runs / "<" / "script><b>", CoevolutionConfig(iterations=1)).close()
    with served(runs) as client:
        body = client.get("/").body.decode()
    data = re.search(r'id="data">(.*?)</script>', body, re.DOTALL)
    assert data
    assert any("</script>" in line["name"] for line in json.loads(data[1])["runs"])
