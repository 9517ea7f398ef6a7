"""What the live server answers, to whom, and what it refuses."""

import gzip
import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.errors import ConfigError
from coevolve.report.server import MOST_CONNECTIONS, MOST_LISTENERS, SAFE_HEADERS, WatchServer
from coevolve.report.watched import Shelf
from coevolve.store.records import RunRecords

Served = Callable[..., Any]


def embedded(page: bytes, name: str = "data") -> Any:
    found = re.search(rf'id="{name}">(.*?)</script>', page.decode(), re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_is_the_report_with_addresses_to_follow(served: Served, finished_run: Path) -> None:
    with served(finished_run) as client:
        answer = client.get("/")
    data = embedded(answer.body)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert data["run"]["status"] == "finished"
    assert [
        len(line["values"])
        for figure in data["figures"]
        for line in figure.get("series", ())
        if figure["title"] == "Entropy"
    ] == [30, 36]
    assert data["live"]["events"] == "events"
    assert embedded(answer.body, "tasks-data")["n"] > 0
    assert b"chunk-0" not in answer.body  # no trajectory comes before somebody opens its task
    assert not re.search(rb'(?:src|href)="(?!data:|#)', answer.body)


def test_data_leaves_out_the_tasks_that_the_page_has(served: Served, finished_run: Path) -> None:
    with served(finished_run) as client:
        versions = embedded(client.get("/").body)["live"]["versions"]
        same = client.get(f"/data?tasks={versions['tasks']}").json()
        other = client.get("/data?tasks=older").json()
    assert same["tasks"] is None
    assert same["page"] == other["page"]
    assert other["page"]["live"]["versions"] == versions
    assert other["tasks"]["n"] > 0


def test_trajectories_of_a_task_are_those_of_its_table(served: Served, finished_run: Path) -> None:
    table = RunRecords.open(finished_run).read_table("trajectories/pool-2.parquet")
    wanted = [row for row in table if row["task_id"] == "i2-0003"]
    with served(finished_run) as client:
        found = client.get("/trajectories?origin=0&iteration=2&task=i2-0003").json()
        assert client.get("/trajectories?origin=0&iteration=2&task=none").json() == []
    assert [(row["sample"], row["answer"]) for row in found] == [(row["sample"], row["answer"]) for row in wanted]


@pytest.mark.parametrize(
    "query", ["", "?origin=7&iteration=1&task=x", "?origin=0&iteration=-1&task=x", "?origin=0&iteration=²"]
)
def test_a_query_that_means_nothing_is_refused(served: Served, finished_run: Path, query: str) -> None:
    with served(finished_run) as client:
        answer = client.raw(f"GET /trajectories{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert b" 400 " in answer.splitlines()[0]


def test_every_answer_has_the_headers_that_keep_it_here(served: Served, finished_run: Path) -> None:
    with served(finished_run) as client:
        for path in ("/", "/data", "/health", "/nowhere", "/../x"):
            headers = client.get(path).headers
            assert {name: headers[name] for name in SAFE_HEADERS} == SAFE_HEADERS
            assert headers["Access-Control-Allow-Origin"] is None
            assert "connect-src 'self'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/../manifest.json",
        "/manifest.json",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/runs/..%2f..%2fetc/",
        "/runs/%2e%2e/data",
        "/runs/../data",
        "/runs//data",
        "/runs/agent0-mini-0/",
        "//etc/passwd",
        "/events/../data",
        "/\\..\\manifest.json",
        "/data/",
        "/%00",
        "/trajectories/../../manifest.json",
        "http://127.0.0.1/data",
        "manifest.json",
        "/[",
        "//[/data",
    ],
)
def test_no_path_leads_to_a_file(served: Served, finished_run: Path, path: str) -> None:
    with served(finished_run) as client:
        answer = client.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] in (b"400", b"404"), answer
    assert len(body) < 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_only_get_is_answered(served: Served, finished_run: Path, method: str) -> None:
    with served(finished_run) as client:
        answer = client.get("/data", method=method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    "junk", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n"]
)
def test_what_is_not_http_is_turned_away_and_the_server_lives(served: Served, finished_run: Path, junk: bytes) -> None:
    with served(finished_run) as client:
        assert b"Traceback" not in client.raw(junk)
        assert client.get("/health").status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.7", "", "[", "localhost.evil"]
)
def test_another_host_name_is_refused(served: Served, finished_run: Path, host: str) -> None:
    with served(finished_run) as client:
        for path in ("/", "/data", "/events", "/health"):
            assert client.get(path, {"Host": host}).status == 421


def test_a_request_without_host_is_refused(served: Served, finished_run: Path) -> None:
    with served(finished_run) as client:
        assert b" 421 " in client.raw(b"GET /data HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "localhost:65000", "[::1]:80"])
def test_a_tunnel_may_have_any_port(served: Served, finished_run: Path, host: str) -> None:
    with served(finished_run) as client:
        assert client.get("/health", {"Host": host}).status == 200


def test_another_site_can_link_to_the_page_and_nothing_else(served: Served, finished_run: Path) -> None:
    with served(finished_run) as client:
        for site in ("cross-site", "same-site"):
            assert client.get("/", {"Sec-Fetch-Site": site}).status == 200
            for path in ("/data", "/events", "/trajectories?origin=0&iteration=1&task=x"):
                assert client.get(path, {"Sec-Fetch-Site": site}).status == 403


def test_beyond_this_machine_every_request_needs_the_token(served: Served, finished_run: Path) -> None:
    with served(finished_run, host="0.0.0.0", token="s3cret-s3cret") as client:
        assert client.server.url.endswith("/?token=s3cret-s3cret")
        for path in ("/", "/data", "/events", "/health", "/nowhere"):
            for query in ("", "?token=", "?token=wrong", "?token=s3cret", "?token=%ff"):
                assert client.get(path + query).status == 403
        assert client.get("/data?tasks=x&token=s3cret-s3cret").status == 200
        assert client.get("/health?token=s3cret-s3cret", {"Host": "10.1.2.3:80"}).status == 200
        assert client.get("/health?token=s3cret-s3cret", {"Host": "evil.example"}).status == 421


def test_without_a_token_nobody_else_is_served(finished_run: Path) -> None:
    with pytest.raises(ConfigError, match="no token"):
        WatchServer(Shelf(finished_run), host="0.0.0.0", port=0)


def test_a_port_in_use_is_named_with_a_way_out(finished_run: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match="the port is in use") as caught:
            WatchServer(Shelf(finished_run), host="127.0.0.1", port=port)
    assert str(port) in caught.value.where
    assert "--port" in caught.value.fix


def test_an_address_of_another_machine_cannot_be_listened_at(finished_run: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be served"):
        WatchServer(Shelf(finished_run), host="192.0.2.1", port=0, token="x" * 16)


def test_large_answers_are_compressed_for_who_can_read_that(served: Served, finished_run: Path) -> None:
    with served(finished_run) as client:
        plain = client.get("/data?tasks=x")
        packed = client.get("/data?tasks=x", {"Accept-Encoding": "gzip, br"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 3


def test_so_many_pages_are_followed_and_one_more_is_told(served: Served, finished_run: Path) -> None:
    with served(finished_run) as client:
        listeners = [client.listening() for _ in range(MOST_LISTENERS)]
        news = [listener.__enter__() for listener in listeners]
        assert {next(told)["state"] for told in news} == {"finished"}
        assert client.get("/health").json()["listeners"] == MOST_LISTENERS
        assert client.get("/events").status == 503
        assert client.get("/").status == 200
        for listener in listeners:
            listener.__exit__(None, None, None)
        end = time.monotonic() + 60
        while client.get("/health").json()["listeners"]:  # a page that has gone is noticed, and its place is free
            assert time.monotonic() < end
            time.sleep(0.2)
        assert client.wait_for(lambda told: True)["state"] == "finished"


def test_slow_clients_delay_nobody_and_too_many_are_closed(served: Served, finished_run: Path) -> None:
    with served(finished_run) as client:
        slow = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(MOST_CONNECTIONS - 8)]
        for line in slow:
            line.sendall(b"GET /data HTTP/1.1\r\nHost: loc")  # and never the rest
        assert client.get("/data").status == 200
        more = [socket.create_connection(("127.0.0.1", client.port), timeout=30) for _ in range(MOST_CONNECTIONS)]
        assert _closed(more[-1])
        for line in (*slow, *more):
            line.close()
        end = time.monotonic() + 60
        while _answers(client) != 200:
            assert time.monotonic() < end
            time.sleep(0.2)


def _closed(line: socket.socket) -> bool:
    line.settimeout(5)
    try:
        return line.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def _answers(client: Any) -> int:
    try:
        return int(client.get("/health").status)
    except OSError:
        return 0
