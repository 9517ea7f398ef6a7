"""Servers that fail, stall, are busy or turn away: what the client of endpoints makes of them."""

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import islice

import pytest
from scripted_endpoint import Act, Asked, Fails, HangsUp, Says, ScriptedEndpoint, Seats, Stalls
from sums_at_endpoint import GREEDY, PROBLEMS, ask, failing, right, target_of

from coevolve.endpoint import client as client_module
from coevolve.endpoint.client import Patience
from coevolve.errors import CoevolveError, ConfigError
from coevolve.harness.endpoint import Asking, EndpointTarget
from coevolve.harness.target import Place, Reply


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.001)


FAULTS: dict[str, Act] = {
    "status 500": Fails(500),
    "status 503": Fails(503, "busy"),
    "status 408": Fails(408),
    "garbage": Fails(200, "<html>\x00 no json"),
    "truncated JSON": Fails(200, '{"choices": [{"message": {"content": "So it is'),
    "less than announced": Fails(200, '{"choices"', claims=100),
    "no choices": Fails(200, '{"model": "scripted", "choices": []}'),
    "no text": Fails(200, '{"choices": [{"message": {"role": "assistant"}}]}'),
    "another thing": Fails(200, "[1, 2]"),
    "an error with status 200": Fails(200, '{"error": {"message": "no slots"}}'),
    "hung up": HangsUp(),
    "429": Fails(429),
    "429 with a rest": Fails(429, headers={"Retry-After": "0"}),
    "429 until a date": Fails(
        429, headers={"Retry-After": format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)}
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_fails_twice_is_asked_a_third_time(fault: Act) -> None:
    got, server = ask(failing(2, fault))
    assert {place: reply.answer for place, reply in got.items()} == {p: str(p.problem + 1) for p in GREEDY}
    assert not server.twice()


def test_a_question_that_always_fails_is_a_fault_with_its_reason_and_the_others_are_answered() -> None:
    got, server = ask(lambda asked: Fails(500) if "What is 3 " in asked.question else right(asked))
    assert got[Place(3, -1)] == Reply("", None, "", fault="500 Internal Server Error: the scripted fault (attempts: 3)")
    assert sum(not reply.fault for reply in got.values()) == len(GREEDY) - 1
    assert sum("What is 3 " in asked.question for asked in server.asked) == 3


def test_garbage_is_a_fault_that_shows_its_beginning() -> None:
    got, _ = ask(lambda asked: Fails(200, "<html>oh") if "What is 3 " in asked.question else right(asked))
    assert got[Place(3, -1)].fault == "its answer is no JSON: '<html>oh' (attempts: 3)"


def test_a_prompt_that_is_refused_is_not_sent_again() -> None:
    too_long = Fails(400, '{"object": "error", "message": "prompt is longer\\nthan 512 tokens", "code": 400}')
    got, server = ask(lambda asked: too_long if "What is 3 " in asked.question else right(asked))
    assert got[Place(3, -1)].fault == "400 Bad Request: prompt is longer than 512 tokens"
    assert len(server.asked) == len(GREEDY)


def collected(target: EndpointTarget, places: Sequence[Place] = GREEDY) -> tuple[dict[Place, Reply], CoevolveError]:
    """What was answered before the error, and the error."""
    got = {}
    answers = target.answer(PROBLEMS, places, 0)
    with pytest.raises(CoevolveError) as caught:
        got.update(answers)
    target.close()
    return got, caught.value


class Clock:
    """The time of a client, which stands still until a test moves it."""

    def __init__(self, target: EndpointTarget, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop, self._now = target._client._loop, 1000.0
        monkeypatch.setattr(self._loop, "time", lambda: self._now)
        monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.0)

    def forward(self, seconds: float) -> None:
        self._now += seconds
        self._loop.call_soon_threadsafe(lambda: None)  # it looks at the clock


def test_a_server_that_stalls_for_good_ends_in_an_error_and_what_was_answered_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stalled = 0

    def script(asked: Asked) -> Act:
        nonlocal stalled
        if asked.number < 6:
            return right(asked)
        stalled += 1
        if stalled % 3 == 0:  # all that are in flight
            clock.forward(61)
        return Stalls()

    with ScriptedEndpoint(script) as server:
        target = target_of(server, timeout_s=60, concurrency=3)
        clock = Clock(target, monkeypatch)
        got, error = collected(target)
    assert f"The endpoint {server.url} answered none of 3 questions" in error.what
    assert "no answer within 60 s (" in error.what
    assert error.where.startswith("sums-")
    assert "kept" in error.fix
    assert sum(not reply.fault for reply in got.values()) == 6


def test_one_request_that_stalls_is_asked_again_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def script(asked: Asked) -> Act:
        return Stalls() if "What is 0 " in asked.question and not asked.tries else right(asked)

    with ScriptedEndpoint(script) as server:
        target = target_of(server, timeout_s=60)
        clock = Clock(target, monkeypatch)
        got = {}
        for place, reply in target.answer(PROBLEMS, GREEDY, 0):
            got[place] = reply.answer
            if len(got) == len(GREEDY) - 1:
                assert Place(0, -1) not in got
                clock.forward(61)
        target.close()
    assert got == {place: str(place.problem + 1) for place in GREEDY}


def test_a_queue_longer_than_the_time_out_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read = threading.Semaphore(1)  # the worker begins with the next one when the last answer has arrived

    queue = Seats(1)

    def script(asked: Asked) -> Act:
        queue.until_came(16)
        read.acquire()
        clock.forward(50)
        return right(asked)

    with ScriptedEndpoint(script, seats=queue) as server:
        target = target_of(server, timeout_s=60, concurrency=16)
        clock = Clock(target, monkeypatch)
        got = {}
        for place, reply in target.answer(PROBLEMS, GREEDY, 0):
            got[place] = reply.answer
            read.release()
        target.close()
        assert len(server.asked) == len(GREEDY)
    assert got == {place: str(place.problem + 1) for place in GREEDY}


def test_a_request_that_all_others_pass_is_told_to_stand_in_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedEndpoint(lambda asked: Stalls() if "What is 0 " in asked.question else right(asked)) as server:
        target = target_of(server, timeout_s=60, retries=0)
        clock = Clock(target, monkeypatch)
        got = {}
        for place, reply in target.answer(PROBLEMS, GREEDY, 0):
            got[place] = reply
            if len(got) == len(GREEDY) - 1:
                clock.forward(61)
        target.close()
    late = "no answer within 60 s while 19 others were answered: the queue of the server is longer than the time-out"
    assert got[Place(0, -1)].fault == f"{late} (attempts: 1)"
    assert sum(not reply.fault for reply in got.values()) == len(GREEDY) - 1


def test_no_more_requests_are_in_flight_than_wanted() -> None:
    now, most, lock = 0, 0, threading.Lock()
    everybody = threading.Barrier(5)

    class Counting(ScriptedEndpoint):
        def act(self, path: str, headers: dict[str, str], body: dict) -> Act:  # type: ignore[type-arg]
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            everybody.wait()  # nobody is answered before five are here
            try:
                return super().act(path, headers, body)
            finally:
                with lock:
                    now -= 1

    with Counting(right) as server:
        target = target_of(server, concurrency=5)
        assert len(list(target.answer(PROBLEMS, GREEDY, 0))) == len(GREEDY)
        target.close()
    assert most == 5


def test_a_rest_that_the_server_asks_for_is_kept_by_everybody() -> None:
    times: list[float] = []

    def script(asked: Asked) -> Act:
        return Fails(429, headers={"Retry-After": "1"}) if asked.number == 0 else right(asked)

    def timed(asked: Asked) -> Act:
        times.append(time.monotonic())
        return script(asked)

    ask(timed, GREEDY[:3], concurrency=1)
    assert times[1] - times[0] >= 1.0


def test_a_server_that_is_busy_with_our_other_requests_is_asked_until_it_has_time() -> None:
    # Eleven refusals of one question, more than there are attempts; between them others are answered.
    def script(asked: Asked) -> Act:
        mine = "What is 0 " in asked.question
        return Fails(429) if mine and len(server_of[0].answered) < len(GREEDY) - 1 else right(asked)

    server_of: list[ScriptedEndpoint] = []
    with ScriptedEndpoint(script) as server:
        server_of.append(server)
        target = target_of(server, concurrency=2, retries=400)
        got = dict(target.answer(PROBLEMS, GREEDY, 0))
        target.close()
    assert not any(reply.fault for reply in got.values())


def test_a_rest_of_an_hour_is_not_waited_for() -> None:
    with ScriptedEndpoint(lambda asked: Fails(429, headers={"Retry-After": "3600"})) as server:
        _, error = collected(target_of(server))
    assert "wants no request for 3600 s" in error.what


def test_an_account_without_money_is_told_at_once() -> None:
    body = '{"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}}'
    with ScriptedEndpoint(lambda asked: Fails(429, body)) as server:
        _, error = collected(target_of(server, concurrency=1))
        assert len(server.asked) == 1
    assert "You exceeded your quota." in error.what


def test_a_wrong_key_names_the_option_and_is_never_shown() -> None:
    secret = "sk-never-shown"
    with ScriptedEndpoint(right, key="another") as server, pytest.raises(CoevolveError) as caught:
        EndpointTarget(server.url, "scripted", asking=Asking(), patience=Patience(concurrency=1), key=secret)
    assert "401 Unauthorized: wrong key" in caught.value.what
    assert "--api-key-env" in caught.value.fix
    assert secret not in str(caught.value)


def test_a_key_that_the_server_repeats_is_not_repeated() -> None:
    secret = "sk-never-shown"
    body = f'{{"error": {{"message": "Incorrect API key provided: {secret}"}}}}'
    with ScriptedEndpoint(lambda asked: Fails(401, body)) as server:
        target = EndpointTarget(server.url, "scripted", asking=Asking(), patience=Patience(concurrency=1), key=secret)
        _, error = collected(target)
    assert "Incorrect API key provided: ***" in error.what


def test_the_key_is_sent_and_is_in_neither_name_nor_facts() -> None:
    with ScriptedEndpoint(right, key="sk-secret") as server:
        target = EndpointTarget(f"{server.url}?key=hidden", asking=Asking(), patience=Patience(), key="sk-secret")
        assert len(list(target.answer(PROBLEMS, GREEDY, 0))) == len(GREEDY)
        shown = target.name + str(dict(target.facts)) + repr(target)
        target.close()
    assert "secret" not in shown
    assert "hidden" not in shown
    assert f"scripted at {server.url}" in shown


def test_a_model_that_the_server_lacks_is_named_with_what_the_server_says() -> None:
    body = '{"error": {"message": "The model `x` does not exist."}}'
    with ScriptedEndpoint(lambda asked: Fails(404, body)) as server:
        _, error = collected(EndpointTarget(server.url, "x", asking=Asking(), patience=Patience(concurrency=1)))
    assert "404 Not Found: The model `x` does not exist." in error.what
    assert server.url in error.what
    assert "--model" in error.fix


def test_an_answer_of_another_model_is_not_taken() -> None:
    with ScriptedEndpoint(lambda asked: Says("\\boxed{1}", model="another-model")) as server:
        got, error = collected(target_of(server))
    assert not got
    assert "was asked for scripted, and another-model answered" in error.what


def test_the_only_model_of_a_server_is_found_and_of_several_one_must_be_named() -> None:
    with ScriptedEndpoint(right, models=("one", "two")) as server, pytest.raises(ConfigError, match="one, two"):
        target_of(server)
    with ScriptedEndpoint(right, models=None) as server, pytest.raises(ConfigError, match="does not say"):
        target_of(server)


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with ScriptedEndpoint(right) as server:
        url = server.url
    with pytest.raises(CoevolveError, match="cannot be reached"):
        EndpointTarget(url, asking=Asking(), patience=Patience())
    with pytest.raises(CoevolveError, match="cannot be reached"):
        EndpointTarget(url, "scripted", asking=Asking(), patience=Patience())


def test_a_server_that_moved_is_not_followed() -> None:
    with ScriptedEndpoint(lambda asked: Fails(307, headers={"Location": "http://elsewhere/v1"})) as server:
        _, error = collected(target_of(server))
    assert "http://elsewhere/v1" in error.fix


def test_answers_are_asked_for_as_they_are_taken() -> None:
    taken: list[int] = []

    class Places(Sequence[Place]):
        def __len__(self) -> int:
            return 100_000

        def __getitem__(self, index: object) -> Place:  # type: ignore[override]
            raise AssertionError

        def __iter__(self) -> Iterator[Place]:
            for i in range(len(self)):
                taken.append(i)
                yield Place(0, i)

    with ScriptedEndpoint(right) as server:
        target = target_of(server, concurrency=4)
        answers = target.answer(PROBLEMS, Places(), 0)
        assert len(list(islice(answers, 10))) == 10
        answers.close()
        target.close()
    assert len(taken) <= 10 + 2 * 4
