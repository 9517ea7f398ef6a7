"""A scripted OpenAI-compatible server on loopback, and what the client makes of it."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import islice

import pytest
from scripted_endpoint import MODEL, Act, Asked, Fails, HangsUp, Says, Script, ScriptedEndpoint, Seats, Stalls

from coevolve.errors import CoevolveError, ConfigError
from coevolve.grading.grade import Kind
from coevolve.harness import client as client_module
from coevolve.harness.client import Patience
from coevolve.harness.endpoint import Asking, EndpointTarget, end_of_boxed_line
from coevolve.harness.messages import base_url, same_model
from coevolve.harness.target import Place, Reply
from coevolve.suites.base import task_of
from coevolve.types import StopReason
from coevolve.worlds.base import Problem

FOREVER_S = 300.0
PROBLEMS = [Problem(task_of("sums", str(i), f"What is {i} + 1?"), str(i + 1)) for i in range(20)]
GREEDY = [Place(i, -1) for i in range(len(PROBLEMS))]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.001)


def right(asked: Asked) -> Says:
    (number,) = re.findall(r"What is (\d+) \+ 1", asked.question)
    return Says(f"So it is \\boxed{{{int(number) + 1}}}.")


def target_of(server: ScriptedEndpoint, asking: Asking | None = None, **patience: float) -> EndpointTarget:
    how = {"timeout_s": FOREVER_S, "concurrency": 4, "retries": 2} | patience
    return EndpointTarget(server.url, asking=asking or Asking(), patience=Patience(**how))


def ask(
    script: Script, places: Sequence[Place] = GREEDY, *, asking: Asking | None = None, seed: int = 0, **patience: float
) -> tuple[dict[Place, Reply], ScriptedEndpoint]:
    """All answers of a server, which is closed again."""
    with ScriptedEndpoint(script) as server:
        target = target_of(server, asking, **patience)
        try:
            got = list(target.answer(PROBLEMS, places, seed))
        finally:
            target.close()
    assert len(dict(got)) == len(got)
    return dict(got), server


def failing(tries: int, fault: Act) -> Script:
    """The first so many requests for each answer fail."""
    return lambda asked: fault if asked.tries < tries else right(asked)


def test_every_place_is_answered_once_with_the_text_of_the_server() -> None:
    places = [Place(i, sample) for i in range(5) for sample in (-1, 0, 1, 2)]
    got, server = ask(right, places)
    assert set(got) == set(places)
    assert got[Place(3, 2)].text == "So it is \\boxed{4}."
    assert got[Place(3, 2)].answer == "4"
    assert got[Place(3, 2)].stop == StopReason.EOS
    assert got[Place(3, 2)].tokens == 7
    assert len(server.asked) == len(places)
    assert not server.twice()


def test_greedy_answers_have_temperature_0_and_sampled_ones_what_was_asked_for() -> None:
    asking = Asking(temperature=0.7, top_p=0.9, max_tokens=55, system="Be brief.")
    _, server = ask(right, [Place(0, -1), Place(0, 0)], asking=asking)
    bodies = sorted((asked.body for asked in server.asked), key=lambda body: body["temperature"])
    assert [body["temperature"] for body in bodies] == [0, 0.7]
    assert bodies[1]["top_p"] == 0.9
    assert [body["max_tokens"] for body in bodies] == [55, 55]
    assert bodies[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert bodies[0]["model"] == MODEL


def test_seeds_belong_to_places_whatever_else_is_asked() -> None:
    def seeds(places: Sequence[Place], seed: int) -> Counter[int]:
        _, server = ask(right, places, seed=seed)
        return Counter(asked.body["seed"] for asked in server.asked)

    places = [Place(i, sample) for i in range(3) for sample in range(3)]
    all_of_them = seeds(places, 1)
    assert len(all_of_them) == 9
    assert seeds(places[4:6], 1) < all_of_them
    assert not seeds(places, 2) & all_of_them


def test_the_instruction_is_that_of_the_kind_of_answer() -> None:
    choice = Problem(task_of("c", "0", "Which?\nA. this\nB. that"), "A", Kind.CHOICE)
    maths = Problem(task_of("m", "0", "How many?"), "1")
    assert "letter" in Asking().question(choice)
    assert "\\boxed{}" in Asking().question(choice)
    assert "letter" not in Asking().question(maths)
    assert Asking(instruction="In French.").question(maths) == "How many?\n\nIn French."
    assert Asking(instruction="").question(maths) == "How many?"


def test_a_plain_prompt_names_who_speaks_and_stops_at_the_next_question() -> None:
    got, server = ask(right, GREEDY[:1], asking=Asking(chat=False, system="Sums.", instruction=""))
    body = server.asked[0].body
    assert server.asked[0].path == "/v1/completions"
    assert body["prompt"] == "Sums.\n\nQuestion: What is 0 + 1?\nAnswer:"
    assert body["stop"] == ["\nQuestion:"]
    assert got[GREEDY[0]].answer == "1"


def test_a_base_model_that_goes_on_after_its_answer_has_answered() -> None:
    def rambles(asked: Asked) -> Says:
        return Says("One more.\nSo \\boxed{1}.\nWhat is 5 + 5? \\boxed{10}\nWhat", finish="length")

    plain, _ = ask(rambles, GREEDY[:1], asking=Asking(chat=False))
    assert plain[GREEDY[0]] == Reply(
        "One more.\nSo \\boxed{1}.", "1", StopReason.EOS, 7, wall_s=plain[GREEDY[0]].wall_s
    )
    chat, _ = ask(rambles, GREEDY[:1])
    assert (chat[GREEDY[0]].answer, chat[GREEDY[0]].stop) == (None, StopReason.LENGTH)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("so $\\boxed{1}$.\nmore", "so $\\boxed{1}$."),
        ("\\boxed{\\frac{1}{2}}\n", "\\boxed{\\frac{1}{2}}"),
        ("the \\boxed{1} of\n\\boxed{2}\nmore", "the \\boxed{1} of\n\\boxed{2}"),
        ("\\boxed{}\n\\boxed{3}\n", "\\boxed{}\n\\boxed{3}"),
        ("a set {1}\n\\boxed{3}", None),
        ("\\boxed{3", None),
    ],
)
def test_the_line_of_the_box_ends_an_answer(text: str, kept: str | None) -> None:
    end = end_of_boxed_line(text)
    assert (None if end is None else text[:end]) == kept


def test_an_answer_that_was_cut_off_is_none_and_no_fault() -> None:
    got, server = ask(lambda asked: Says("It may be \\boxed{1} or", finish="length"), GREEDY[:2])
    assert {reply.answer for reply in got.values()} == {None}
    assert {reply.stop for reply in got.values()} == {StopReason.LENGTH}
    assert not any(reply.fault for reply in got.values())
    assert len(server.asked) == 2


def test_tokens_used_up_by_thinking_leave_an_empty_text() -> None:
    got, _ = ask(lambda asked: Says(None, finish="length"), GREEDY[:1])
    assert (got[GREEDY[0]].text, got[GREEDY[0]].fault) == ("", "")


def test_a_served_agent_reads_its_own_answer_and_tells_of_its_tool() -> None:
    calls = [{"code": "1", "output": "", "status": status} for status in ("ok", "timeout")]
    agent = {"answer": "3", "stop": "turns", "tool_calls": calls, "observation_tokens": 5}
    got, _ = ask(lambda asked: Says("\\boxed{4}", agent=agent), GREEDY[:1])
    reply = got[GREEDY[0]]
    assert (reply.text, reply.answer, reply.stop) == ("\\boxed{4}", "3", "turns")
    assert (reply.tool_calls, reply.tool_timeouts, reply.tokens) == (2, 1, 7)


def test_a_served_agent_that_tells_half_is_a_fault() -> None:
    got, _ = ask(lambda asked: Says("\\boxed{4}", agent={"answer": "3"}), GREEDY[:1])
    assert got[GREEDY[0]].fault.startswith("its answer makes no sense: its field coevolve lacks")


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


def test_a_served_agent_is_sent_the_question_alone_and_other_models_what_they_need() -> None:
    asked = {}
    for owner in ("coevolve", "somebody"):
        with ScriptedEndpoint(right, owner=owner) as server:
            target = target_of(server)
            list(target.answer(PROBLEMS, GREEDY[:1], 0))
            target.close()
            asked[owner] = server.asked[0]
            assert target.facts["max_tokens"] == asked[owner].body.get("max_tokens")
    assert asked["coevolve"].question == PROBLEMS[0].task.question
    assert "max_tokens" not in asked["coevolve"].body
    assert asked["somebody"].question.startswith(PROBLEMS[0].task.question + "\n\nReason step by step.")
    assert asked["somebody"].body["max_tokens"] == 4096


def test_what_a_served_agent_is_told_beside_the_question_is_what_the_user_wrote() -> None:
    with ScriptedEndpoint(right, owner="coevolve") as server:
        target = target_of(server, Asking(instruction="Be brief.", max_tokens=70))
        list(target.answer(PROBLEMS, GREEDY[:1], 0))
        target.close()
        body = server.asked[0].body
    assert body["messages"][-1]["content"] == f"{PROBLEMS[0].task.question}\n\nBe brief."
    assert body["max_tokens"] == 70


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


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/", "http://h:8000/v1"),
        ("https://h/v1/", "https://h/v1"),
        ("https://h/v1/chat/completions", "https://h/v1"),
        ("https://h/api/v3/completions?version=2", "https://h/api/v3?version=2"),
    ],
)
def test_addresses_are_taken_in_every_form(given: str, base: str) -> None:
    assert base_url(given) == base


@pytest.mark.parametrize("given", ["h:8000", "ftp://h", "http://", "http://h:x/", "http://me:secret@h/v1"])
def test_what_is_no_address_or_holds_a_password_is_refused(given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        base_url(given)
    assert "secret" not in str(caught.value)


def test_models_are_the_same_with_a_date_and_with_their_folder() -> None:
    assert same_model("gpt-x", "gpt-x-2026-01-01")
    assert same_model("Qwen3-4B", "/models/Qwen3-4B/")
    assert same_model("org/Qwen3-4B", "qwen3-4b")
    assert same_model("any", "")
    assert not same_model("Qwen3-4B", "Qwen3-8B")
