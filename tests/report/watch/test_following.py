"""A run is followed while it begins, goes on, fails, is killed, is damaged and is replaced; and it is left alone."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coevolve.methods.config import CoevolutionConfig, ProposerSection
from coevolve.report.live import live_state
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords

Served = Callable[..., Any]
MakeRun = Callable[..., Path]


def tree(path: Path) -> dict[str, tuple[int, int]]:
    """Every file with its length and when it was written."""
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in path.rglob("*")}


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[RunFolder]:
    """A run in its first curriculum phase, with this process for its writer."""
    folder = RunFolder.create(tmp_path / "run", CoevolutionConfig(iterations=1, proposer=ProposerSection(steps=10)))
    folder.set_status("running", sandbox={"seccomp": "on", "cgroup": "not available"})
    folder.begin("iteration-0/evaluate")
    folder.log_timing({"phase": "iteration-0/evaluate", "wall_s": 8.0})
    folder.finish("iteration-0/evaluate", [])
    folder.begin("iteration-1/curriculum")
    yield folder
    folder.close()


def step(number: int) -> dict[str, object]:
    return {"event": "curriculum_step", "iteration": 1, "step": number, "steps": 10, "reward": 0.25 * number}


def steps_shown(page: dict[str, Any]) -> list[int]:
    """Steps of the first iteration that the page has a reward of."""
    figure = next(f for f in page["figures"] if f["title"] == "What the curriculum agent is rewarded for")
    return [step for iteration, step, _, reward in figure["series"][0]["values"] if iteration == 1 and reward]


def test_a_run_in_progress_tells_phase_step_reward_and_who_writes(served: Served, begun: RunFolder) -> None:
    begun.log(step(1))
    begun.log(step(2))
    with served(begun.path) as client:
        told = client.wait_for(lambda news: True)
    assert told["state"] == "running"
    assert told["process"] == os.getpid()
    assert told["current"]["name"] == "curriculum"
    assert (told["done"], told["facts"]) == (2, {"reward": 0.5})
    assert [phase["finished"] for phase in told["phases"]] == [True, False, False, False, False]
    assert told["machine"]["memory_bytes"] > 1 << 20
    assert told["left_s"] > 0
    assert told["sandbox"] == {"seccomp": "on", "cgroup": "not available"}


def test_a_new_step_is_told_and_its_data_can_be_had(served: Served, begun: RunFolder) -> None:
    with served(begun.path) as client, client.listening() as news:
        first = next(news)
        assert first["done"] is None
        begun.log(step(1))
        later = next(told for told in news if told["versions"]["data"] != first["versions"]["data"])
        assert later["done"] == 1
        page = client.get("/data").json()["page"]
        assert steps_shown(page) == [1]
        assert page["live"]["versions"]["data"] == later["versions"]["data"]


def test_a_line_that_is_half_written_waits_for_its_end(served: Served, begun: RunFolder) -> None:
    begun.log(step(1))
    with served(begun.path) as client, (begun.path / "metrics.jsonl").open("ab") as log:
        whole = json.dumps(step(2)).encode() + b"\n"
        log.write(whole[:20])
        log.flush()
        told = client.wait_for(lambda news: True)
        assert (told["done"], told["problem"]) == (1, "")
        log.write(whole[20:])
        log.flush()
        assert client.wait_for(lambda news: news["done"] == 2)["problem"] == ""


def test_a_run_that_begins_while_somebody_waits(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "later" / "run"
    with served(path) as client:
        assert b"Waiting for the run" in client.get("/").body
        assert client.get("/data").json() == {}
        assert client.get("/trajectories?origin=0&iteration=1&task=x").status == 404
        with client.listening() as news:
            assert next(news)["state"] == "waiting"
            assert not path.exists()
            folder = RunFolder.create(path, CoevolutionConfig(iterations=1))
            assert next(told for told in news if told["versions"]["data"])["state"] == "running"
        assert b"The run has begun" in client.get("/").body
        folder.close()


def test_a_killed_run_is_told_from_one_that_works(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "run"
    script = (
        "import sys; from pathlib import Path\n"
        "from coevolve.methods.config import CoevolutionConfig; from coevolve.store.folder import RunFolder\n"
        "folder = RunFolder.create(Path(sys.argv[1]), CoevolutionConfig(iterations=1))\n"
        "folder.begin('iteration-0/evaluate'); print('ready', flush=True); sys.stdin.read()\n"
    )
    arguments = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        with served(path) as client, client.listening() as news:
            assert next(news)["state"] == "running"
            run.kill()
            assert next(told for told in news if told["state"] != "running")["state"] == "stopped"
            again = RunFolder.open(path)  # it is taken up again
            assert next(told for told in news if told["state"] != "stopped")["process"] == os.getpid()
            again.close()


@pytest.mark.parametrize("status", ["interrupted", "failed", "finished"])
def test_how_a_run_ended_is_told(served: Served, begun: RunFolder, status: str) -> None:
    with served(begun.path) as client, client.listening() as news:
        assert next(news)["state"] == "running"
        begun.set_status(status)
        begun.close()
        assert next(told for told in news if told["state"] != "running")["state"] == status


def test_what_a_damaged_run_was_stays_in_sight_until_it_is_mended(served: Served, begun: RunFolder) -> None:
    begun.log(step(1))
    manifest = begun.path / "manifest.json"
    whole = manifest.read_bytes()
    with served(begun.path) as client:
        assert client.wait_for(lambda news: True)["problem"] == ""
        manifest.write_bytes(whole[:40])
        told = client.wait_for(lambda news: news["problem"])
        assert "damaged" in told["problem"]
        assert "fix: " in told["problem"]
        assert told["done"] == 1
        assert steps_shown(client.get("/data").json()["page"])
        manifest.write_bytes(whole)
        assert client.wait_for(lambda news: not news["problem"])["done"] == 1


def test_a_run_that_could_never_be_read_says_why(served: Served, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with served(tmp_path) as client:
        assert client.wait_for(lambda news: True)["state"] == "unreadable"
        assert client.get("/").status == 200


def test_a_run_folder_may_go_and_another_run_take_its_place(served: Served, make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run(iterations=2, pool=8)
    with served(path) as client, client.listening() as news:
        first = next(news)
        assert len(first["phases"]) == 9
        shutil.rmtree(path)
        gone = next(told for told in news if told["problem"])
        assert "no such run folder" in gone["problem"]
        make_run(iterations=1, pool=8)
        told = next(told for told in news if not told["problem"] and told["state"] == "finished")
        assert len(told["phases"]) == 5
        assert told["versions"]["tasks"] != first["versions"]["tasks"]
        answer = client.get(f"/data?tasks={first['versions']['tasks']}").json()
        assert len(answer["page"]["figures"][0]["series"][0]["values"]) == 2
        assert set(answer["tasks"]["columns"]["iteration"]) == {0, 1}


def test_watching_writes_nothing_and_takes_no_lock(served: Served, make_run: MakeRun) -> None:
    path = make_run(until="iteration-2/pool", pool=8)
    before = tree(path)
    with served(path) as client, client.listening() as news:
        assert next(news)["state"] == "stopped"
        for address in ("/", "/data", "/trajectories?origin=0&iteration=1&task=i1-0001"):
            assert client.get(address).status == 200
        assert tree(path) == before
        RunFolder.open(path).close()  # nobody is in the way


def test_a_writer_at_full_speed_is_followed_without_a_fault(served: Served, begun: RunFolder) -> None:
    """Readers meet manifests and logs of different moments all the time."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            begun.log(step(number))
            begun.set_status("running", note=number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with served(begun.path) as client, client.listening() as news:
            told = [next(news) for _ in range(6)]
            pages = [client.get("/data").json()["page"] for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    assert [news["problem"] for news in told] == [""] * 6
    assert told[-1]["done"] > told[0]["done"]
    assert all(steps_shown(page) for page in pages)


def test_what_is_left_counts_from_the_last_step(begun: RunFolder) -> None:
    """The evaluation took 8 s in 4 steps; by typical shares the curriculum phase takes three times as long."""
    begun.log(step(5))
    lock, log = begun.path / ".lock", begun.path / "metrics.jsonl"
    for file, moment in ((lock, 900.0), (begun.path / "timings.jsonl", 1000.0), (log, 1010.0)):
        os.utime(file, (moment, moment))
    state = live_state(RunRecords.open(begun.path))
    assert (state["began"], state["left_from"]) == (1000.0, 1010.0)
    seconds = {phase["name"]: phase["seconds"] for phase in state["phases"] if phase["iteration"]}
    assert seconds["curriculum"] == pytest.approx(20)  # five of ten steps in ten seconds
    unit = (20 + 2 * 8) / (3 + 2 * 1)  # of one typical share, from the two kinds that were timed
    assert state["left_s"] == pytest.approx(10 + 8 + unit * (1 + 2), abs=0.1)
