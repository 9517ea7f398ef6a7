"""Requests that wait, leave, are too many or too late, over processes that answer when the test says so."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

from coevolve.errors import CoevolveError, SandboxUnavailable
from coevolve.rollout.base import Episode
from coevolve.runs.answerer import Answerer
from coevolve.runs.stopping import Stopped
from coevolve.serving import engine as dealing
from coevolve.serving import life
from coevolve.serving.app import Options, Service
from coevolve.serving.engine import Engine
from coevolve.serving.player import Begin, Command, Ended, Event, GiveUp, Grown, Ready
from coevolve.types import StopReason, Trajectory

from .conftest import PATIENCE_S, Background, Served, Serving

QUESTION = "Let a = 12 + 30. Find a."
TOKEN = "a-token-of-16-letters"


def answered(episode: Episode, text: str = "a = 42. \\boxed{42}", stop: StopReason = StopReason.EOS) -> Trajectory:
    tokens, zeros = np.arange(3, dtype=np.int32), np.zeros(3, np.float32)
    answer = "42" if stop is StopReason.EOS else None
    mask = np.ones(3, np.bool_)
    return Trajectory(
        episode.id, 0, tokens, tokens, mask, zeros, text, (), answer, stop, "base", (0,), "c", agent="solver"
    )


class Players:
    """All processes of an engine; they answer nothing by themselves."""

    def __init__(self) -> None:
        self.first_words: list[Event] = []  # of those that begin; then they are ready at once
        self.made: list[ScriptedPlayer] = []
        self.begun: dict[int, tuple[ScriptedPlayer, Episode]] = {}
        self.given_up: set[int] = set()
        self._changed = threading.Condition()

    def take(self, player: ScriptedPlayer, command: Command) -> None:
        with self._changed:
            if isinstance(command, Begin):
                self.begun |= {key: (player, episode) for key, episode in command.episodes}
            elif isinstance(command, GiveUp):
                self.given_up |= set(command.keys)
            self._changed.notify_all()

    def wait(self, until: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(until, PATIENCE_S)

    def end(self, key: int, **how: object) -> None:
        player, episode = self.begun[key]
        player.tell(Ended(key, answered(episode, **how)))  # type: ignore[arg-type]


class ScriptedPlayer:
    exit_code = -9

    def __init__(self, players: Players, tell: Callable[[object, Event], None]) -> None:
        self._players, self._tell = players, tell
        players.made.append(self)
        self.tell(players.first_words.pop(0) if players.first_words else Ready({}))

    def tell(self, event: Event) -> None:
        self._tell(self, event)

    def send(self, command: Command) -> None:
        self._players.take(self, command)

    def join(self, patience_s: float) -> None:
        return


@pytest.fixture
def players(monkeypatch: pytest.MonkeyPatch) -> Players:
    all_of_them = Players()
    monkeypatch.setattr(dealing, "Player", lambda settings, base, policy, tell: ScriptedPlayer(all_of_them, tell))
    return all_of_them


@contextmanager
def over(answerer: Answerer, background: Background, serving: Serving, **options: object) -> Iterator[Served]:
    """A server that takes two answers at once."""

    async def started() -> Engine:
        engine = Engine(answerer, places=2)
        await engine.start()
        return engine

    with serving(background.run(started()), **options) as served:
        yield served


@pytest.fixture
def server(players: Players, answerer: Answerer, background: Background, serving: Serving) -> Iterator[Served]:
    with over(answerer, background, serving, show="all") as served:
        yield served


@contextmanager
def asking(server: Served, **parameters: object) -> Iterator[Callable[[], httpx.Response]]:
    """Somebody asks in a thread; the result waits for the response."""
    with ThreadPoolExecutor(1) as other:
        future = other.submit(server.chat, QUESTION, **parameters)
        yield lambda: future.result(PATIENCE_S)


def test_one_too_many_is_told_to_come_back(server: Served, players: Players) -> None:
    with asking(server, n=2) as response:
        players.wait(lambda: len(players.begun) == 2)
        refused = server.chat(QUESTION)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert refused.json()["error"]["code"] == "queue_full"
        assert server.client.get("/health").json()["answers"] == 2
        players.end(0)
        while server.client.get("/health").json()["answers"] == 2:
            pass
        with asking(server) as third:  # the place of a finished answer is free before its request is
            players.wait(lambda: len(players.begun) == 3)
            players.end(2)
            assert third().status_code == 200
        players.end(1)
        assert [c["coevolve"]["answer"] for c in response().json()["choices"]] == ["42", "42"]
    assert server.client.get("/health").json()["answers"] == 0
    assert server.chat(QUESTION, n=3).status_code == 400


def test_a_lost_sandbox_is_an_error_and_no_answer(server: Served, players: Players) -> None:
    with asking(server, n=2) as response:
        players.wait(lambda: len(players.begun) == 2)
        players.end(0)
        players.end(1, text="", stop=StopReason.INFRASTRUCTURE)
        assert response().status_code == 503
        assert response().json()["error"]["code"] == "lost"
    with asking(server, stream=True) as response:
        players.wait(lambda: len(players.begun) == 3)
        players.end(2, text="", stop=StopReason.INFRASTRUCTURE)
        assert '"code":"lost"' in response().text
        assert "[DONE]" not in response().text


def test_a_stream_tells_what_is_written_when_it_is_written(server: Served, players: Players) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}], "stream": True, "stop": ["END"]}
    with server.client.stream("POST", "/v1/chat/completions", json=body) as response:
        players.wait(lambda: players.begun)
        lines = (line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: "))
        assert json.loads(next(lines))["choices"][0]["delta"]["role"] == "assistant"
        player, episode = players.begun[0]
        told = []
        for text in ("one ", "one two E"):
            player.tell(Grown(0, text))
            told.append(json.loads(next(lines))["choices"][0]["delta"]["content"])
        player.tell(Ended(0, answered(episode, "one two END three")))
        end = json.loads(next(lines))["choices"][0]
        assert (told, end["finish_reason"], next(lines)) == (["one", " two"], "stop", "[DONE]")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_place(server: Served, players: Players, stream: bool) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}], "n": 2, "stream": stream}
    host, port, content = server.client.base_url.host, server.client.base_url.port, json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, port or 80)) as connection:
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        players.wait(lambda: len(players.begun) == 2)
    players.wait(lambda: players.given_up == {0, 1})
    with asking(server, n=2) as response:
        players.wait(lambda: len(players.begun) == 4)
        players.end(2)
        players.end(3)
        assert response().status_code == 200


def test_a_request_that_takes_too_long_is_given_up(
    players: Players, answerer: Answerer, background: Background, serving: Serving
) -> None:
    with over(answerer, background, serving, deadline_s=0.2) as served:
        assert served.chat(QUESTION).status_code == 504
        assert '"code":"deadline"' in served.chat(QUESTION, stream=True).text
    players.wait(lambda: players.given_up == set(players.begun))


def test_a_process_that_dies_fails_its_answers_and_is_started_again(server: Served, players: Players) -> None:
    with asking(server) as response:
        players.wait(lambda: players.begun)
        players.made[0].tell(None)
        assert response().status_code == 503
        assert "exit code -9" in response().json()["error"]["message"]
    assert len(players.made) == 2
    while server.service.engine.ready == 0:
        pass
    with asking(server) as response:
        players.wait(lambda: len(players.begun) == 2)
        assert players.begun[1][0] is players.made[1]
        players.end(1)
        assert response().status_code == 200


def run_life(
    answerer: Answerer, script: Callable[[Served, Callable[[], object]], object] = lambda *_: None
) -> list[bool]:
    """A whole life of a server; the script runs beside it, with a function that asks it to stop."""
    announced: list[bool] = []

    async def lives() -> None:
        stop, listening, loop = life.Stop(), life.bound("127.0.0.1", 0, None), asyncio.get_running_loop()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        scripts: list[asyncio.Future[object]] = []

        def play(service: Service) -> object:
            with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
                return script(Served(service, client), lambda: loop.call_soon_threadsafe(stop.ask, 15))

        def announce(service: Service) -> None:
            announced.append(service.stopping)
            if not service.stopping:
                scripts.append(loop.run_in_executor(None, play, service))

        try:
            await life.serve(
                answerer, Options("m"), listening, places=8, grace_s=PATIENCE_S, announce=announce, stop=stop
            )
        finally:
            for playing in scripts:
                await playing

    asyncio.run(lives())
    return announced


def test_what_is_in_flight_is_finished_and_new_requests_are_refused(players: Players, answerer: Answerer) -> None:
    def script(served: Served, stop: Callable[[], object]) -> None:
        with asking(served) as response:
            players.wait(lambda: players.begun)
            stop()
            while served.client.get("/health").status_code != 503:
                pass
            refused = served.chat(QUESTION)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "stopping")
            players.end(0)
            assert response().json()["choices"][0]["coevolve"]["answer"] == "42"

    assert run_life(answerer, script) == [False, True]


def test_a_second_signal_ends_at_once(players: Players, answerer: Answerer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "_ECHO_S", -1.0)

    def script(served: Served, stop: Callable[[], object]) -> None:
        with asking(served) as response:
            players.wait(lambda: players.begun)
            stop()
            stop()
            with pytest.raises(httpx.HTTPError):
                response().raise_for_status()

    with pytest.raises(Stopped) as raised:
        run_life(answerer, script)
    assert raised.value.number == 15


def test_an_engine_that_cannot_start_or_start_again_is_the_end(players: Players, answerer: Answerer) -> None:
    players.first_words = [SandboxUnavailable("no sandbox")]
    with pytest.raises(SandboxUnavailable, match="no sandbox"):
        run_life(answerer)

    def script(served: Served, stop: Callable[[], object]) -> None:
        players.first_words = [SandboxUnavailable("gone")]
        players.made[-1].tell(None)

    with pytest.raises(SandboxUnavailable, match="gone"):
        run_life(answerer, script)


def test_with_a_token_nobody_asks_without_it(
    players: Players, answerer: Answerer, background: Background, serving: Serving
) -> None:
    with over(answerer, background, serving, token=TOKEN) as served:
        with httpx.Client(base_url=served.client.base_url, timeout=PATIENCE_S) as bare:
            assert bare.get("/health").status_code == 200
            for value in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer é"):
                response = bare.get("/v1/models", headers={"Authorization": value.encode()} if value else {})
                assert response.status_code == 401
                assert response.json()["error"]["code"] == "invalid_api_key"
            assert bare.get("/anything").status_code == 401
        assert served.client.get("/v1/models").status_code == 200


def test_without_a_token_pages_of_other_sites_cannot_ask(server: Served) -> None:
    for host in ("evil.example", "evil.example:80", "192.168.0.5"):
        assert server.client.get("/v1/models", headers={"Host": host}).status_code == 421
    for host in ("localhost:1", "127.0.0.1", "[::1]:80"):
        assert server.client.get("/v1/models", headers={"Host": host}).status_code == 200
    body = json.dumps({"messages": [{"role": "user", "content": QUESTION}]})
    simple = server.client.post("/v1/chat/completions", content=body, headers={"Content-Type": "text/plain"})
    assert simple.status_code == 415


def test_what_is_too_large_or_lies_nowhere_is_an_error_object(server: Served) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(5):
            yield b" " * (1 << 20)

    kind = {"Content-Type": "application/json"}
    for response, status in (
        (server.client.post("/v1/completions", content=parts(), headers=kind), 413),
        (server.client.post("/v1/completions", content=b"[" * 10_000, headers=kind), 400),
        (server.client.get("/v1/embeddings"), 404),
        (server.client.get("/v1/completions"), 405),
    ):
        assert response.status_code == status
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_other_machines_need_a_token() -> None:
    with pytest.raises(CoevolveError, match="token"):
        life.bound("0.0.0.0", 0, None)
