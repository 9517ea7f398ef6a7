"""The embedded model behind the endpoint: what it answers is what it answers anywhere else."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from coevolve.rollout import asking
from coevolve.runs.answerer import Answerer
from coevolve.serving.engine import Engine
from coevolve.types import Origin, Task, Trajectory

from .conftest import Served, Serving

QUESTION = "Let a = 43 * 80. Let b = the digit sum of a. Find b."
OTHER = "Let a = 12 + 30. Find a."


@pytest.fixture(scope="module")
def alone(answerer: Answerer) -> list[tuple[Trajectory, ...]]:
    """Three answers to each question at temperature 1 and seed 5, and the greedy ones, from the rollouts of a run."""
    rollouts = answerer.open_rollouts()
    try:
        tasks = [Task(question, (question,), "asked", Origin("m", "p", 0)) for question in (QUESTION, OTHER)]
        sampled = asking.solve(rollouts, answerer.policy, tasks, 3, seed=5, agent=answerer.agent)
        greedy = asking.solve(rollouts, answerer.policy, tasks, 1, seed=5, greedy=True, agent=answerer.agent)
        return [*sampled, *greedy]
    finally:
        rollouts.close()


def events(body: str) -> list[object]:
    """The content of a stream of server-sent events, comments left out."""
    lines = [line.removeprefix("data: ") for line in body.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_greedy_answer_is_the_one_that_solve_gives(served: Served, alone: list[tuple[Trajectory, ...]]) -> None:
    for question, (expected,) in zip((QUESTION, OTHER), alone[2:], strict=True):
        body = served.chat(question, temperature=0).raise_for_status().json()
        (choice,) = body["choices"]
        assert choice["coevolve"]["answer"] == expected.answer
        assert expected.text.endswith(choice["message"]["content"])
        assert [call["code"] for call in choice["coevolve"]["tool_calls"]] == [c.code for c in expected.tool_calls]
        usage = body["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (len(expected.prompt), expected.sampled)
        assert (body["object"], body["model"], choice["finish_reason"]) == ("chat.completion", "m", "stop")


def test_samples_of_a_seed_are_those_of_a_run(
    engine: Engine, serving: Serving, alone: list[tuple[Trajectory, ...]]
) -> None:
    with serving(engine, show="all") as served:
        body = {"prompt": [QUESTION, OTHER], "n": 3, "seed": 5, "temperature": 1.0}
        answered = served.client.post("/v1/completions", json=body).raise_for_status().json()
    expected = [trajectory for samples in alone[:2] for trajectory in samples]
    assert [choice["index"] for choice in answered["choices"]] == list(range(6))
    assert [choice["text"] for choice in answered["choices"]] == [t.text.strip() for t in expected]
    assert [choice["coevolve"]["answer"] for choice in answered["choices"]] == [t.answer for t in expected]
    assert answered["usage"]["prompt_tokens"] == len(expected[0].prompt) + len(expected[3].prompt)
    assert answered["object"] == "text_completion"


@pytest.mark.parametrize("show", ["final", "all"])
def test_a_stream_adds_up_to_the_whole_answer(engine: Engine, serving: Serving, show: str) -> None:
    asked = {"n": 8, "seed": 1, "temperature": 1.0}
    with serving(engine, show=show) as served:
        whole = served.chat(QUESTION, **asked).json()
        options = {"stream": True, "stream_options": {"include_usage": True}}
        response = served.chat(QUESTION, **asked, **options)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    *chunks, last = events(response.text)
    assert (last["choices"], last["usage"]) == ([], whole["usage"])  # type: ignore[call-overload, index]
    texts, ends = [""] * 8, [None] * 8
    for chunk in chunks:
        (choice,) = chunk["choices"]  # type: ignore[index, call-overload]
        texts[choice["index"]] += choice["delta"].get("content", "")
        ends[choice["index"]] = choice["finish_reason"] and (choice["finish_reason"], choice["coevolve"])
    assert texts == [choice["message"]["content"] for choice in whole["choices"]]
    assert ends == [(choice["finish_reason"], choice["coevolve"]) for choice in whole["choices"]]
    assert any(choice["coevolve"]["tool_calls"] for choice in whole["choices"]), "the questions should need the tool"


def test_what_stands_before_the_last_tool_output_is_shown_on_demand(engine: Engine, serving: Serving) -> None:
    asked = {"n": 8, "seed": 1, "temperature": 1.0}
    answers = []
    for show in ("final", "all"):
        with serving(engine, show=show) as served:
            answers.append([c["message"]["content"] for c in served.chat(QUESTION, **asked).json()["choices"]])
    for final, everything in zip(*answers, strict=True):
        assert everything.endswith(final)
        assert "```" not in final or "```output" not in everything
    assert any("```output" in text for text in answers[1])


def test_many_clients_are_answered_at_the_same_time(served: Served, alone: list[tuple[Trajectory, ...]]) -> None:
    with ThreadPoolExecutor(16) as clients:
        answered = list(clients.map(lambda _: served.chat(OTHER, temperature=0).raise_for_status().json(), range(24)))
    ((expected,),) = alone[3:]
    answers = {body["choices"][0]["message"]["content"] for body in answered}
    assert len(answers) == 1
    assert expected.text.endswith(answers.pop())


def test_earlier_turns_are_part_of_the_prompt(served: Served) -> None:
    first = served.chat(OTHER, temperature=0).json()
    said = first["choices"][0]["message"]["content"]
    turns = [{"role": "user", "content": OTHER}, {"role": "assistant", "content": said}]
    turns += [{"role": "user", "content": [{"type": "text", "text": OTHER}]}]
    second = served.client.post("/v1/chat/completions", json={"messages": turns, "temperature": 0}).json()
    assert second["usage"]["prompt_tokens"] > first["usage"]["total_tokens"]
    assert second["choices"][0]["message"]["content"]


def test_a_stop_string_ends_the_returned_text(served: Served) -> None:
    whole = served.chat(OTHER, temperature=0).json()["choices"][0]
    cut = served.chat(OTHER, temperature=0, stop=["\\boxed"]).json()["choices"][0]
    assert cut["message"]["content"] == whole["message"]["content"].partition("\\boxed")[0].strip()
    assert (cut["finish_reason"], cut["coevolve"]["answer"]) == ("stop", whole["coevolve"]["answer"])


def test_an_answer_without_room_ends_with_length(served: Served) -> None:
    (choice,) = served.chat(QUESTION, temperature=0, max_tokens=3).json()["choices"]
    assert (choice["finish_reason"], choice["coevolve"]["answer"]) == ("length", None)


def test_what_the_model_cannot_read_or_has_no_room_for_is_refused(served: Served) -> None:
    for question, parameters, param, code in (
        ("Какова сумма?", {}, "messages", "unreadable"),
        ("  ", {}, "messages", "unreadable"),
        ("<|endoftext|>", {}, "messages", "unreadable"),
        (OTHER, {"max_tokens": 500}, "max_tokens", "context_length_exceeded"),
        (" ".join([OTHER] * 99), {}, "messages", "context_length_exceeded"),
    ):
        response = served.chat(question, **parameters)
        assert response.status_code == 400
        error = response.json()["error"]
        assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")


def test_the_served_name_is_listed_and_no_other_is_answered(served: Served) -> None:
    (model,) = served.client.get("/v1/models").json()["data"]
    assert (model["id"], served.client.get("/v1/models/m").json()) == ("m", model)
    assert served.chat(OTHER, model="m", temperature=0).status_code == 200
    for response in (served.chat(OTHER, model="gpt-x"), served.client.get("/v1/models/gpt-x")):
        assert response.status_code == 404
        assert "'m'" in response.json()["error"]["message"]
