"""What an endpoint is asked, and how its answers are read."""

from collections import Counter
from collections.abc import Sequence

import pytest
from scripted_endpoint import MODEL, Asked, Says, ScriptedEndpoint
from sums_at_endpoint import GREEDY, PROBLEMS, ask, right, target_of

from coevolve.endpoint import client as client_module
from coevolve.grading.grade import Kind
from coevolve.harness.endpoint import Asking, end_of_boxed_line
from coevolve.harness.target import Place, Reply
from coevolve.suites.base import task_of
from coevolve.types import StopReason
from coevolve.worlds.base import Problem


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.001)


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
