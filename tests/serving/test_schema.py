"""Requests as clients send them, and as nobody should."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.config.acting import Distribution
from coevolve.serving.refusals import Refusal
from coevolve.serving.schema import Conversation, chat, completion

USER = {"role": "user", "content": "q"}


def refusal(**parameters: object) -> dict[str, object]:
    with pytest.raises(Refusal) as raised:
        chat(json.dumps({"messages": [USER], **parameters}).encode(), system="refuse")
    assert raised.value.status == 400
    return raised.value.body["error"]  # type: ignore[return-value]


def test_what_the_clients_of_harnesses_send_is_understood() -> None:
    body = {
        "messages": [USER],
        "model": "m",
        "max_tokens": 256,
        "temperature": 0,
        "stop": ["<|im_end|>"],
        "seed": 1234,
        "stream": False,
        "user": "somebody",
        "logprobs": False,
        "tools": [],
        "tool_choice": None,
        "frequency_penalty": 0.0,
        "response_format": {"type": "text"},
        "parallel_tool_calls": True,
    }
    wanted = chat(json.dumps(body).encode(), system="refuse")
    assert (wanted.conversations, wanted.max_tokens, wanted.seed) == ((Conversation(("q",)),), 256, 1234)
    assert (wanted.stop, wanted.n, wanted.stream) == (("<|im_end|>",), 1, False)
    assert wanted.drawn(Distribution(0.7, 0.9)) == Distribution(0.0)


def test_what_a_request_leaves_open_is_as_in_training() -> None:
    wanted = chat(json.dumps({"messages": [USER], "top_k": -1}).encode(), system="refuse")
    assert wanted.drawn(Distribution(0.7, 0.9, 20)) == Distribution(0.7, 0.9, 0)
    assert wanted.seed is None


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("logprobs", True),
        ("logprobs", 0),
        ("echo", True),
        ("tools", [{"type": "function"}]),
        ("tool_choice", "required"),
        ("response_format", {"type": "json_object"}),
        ("frequency_penalty", 0.5),
        ("logit_bias", {"5": 1}),
        ("suffix", "x"),
        ("best_of", 3),
        ("n", 0),
        ("n", True),
        ("n", 1.5),
        ("temperature", -1),
        ("temperature", "1"),
        ("top_p", 0),
        ("max_tokens", 0),
        ("stream", "yes"),
        ("stop", [["x"]]),
        ("stop", ["x"] * 17),
        ("seed", 1.5),
        ("model", 5),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(param: str, value: object) -> None:
    error = refusal(**{param: value})
    assert str(error["param"]).startswith(param)
    assert param in str(error["message"])
    assert error["type"] == "invalid_request_error"


def test_roles_alternate_and_the_agent_takes_no_other_instructions() -> None:
    system, said = {"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}
    assert "--system ignore" in str(refusal(messages=[system, USER])["message"])
    body = json.dumps({"messages": [system, USER, said, USER]}).encode()
    assert chat(body, system="ignore").conversations == (Conversation(("q", "q"), ("a",)),)
    for messages in ([USER, USER], [said, USER], [USER, said], [], [{"role": "tool", "content": "x"}], [system]):
        assert str(refusal(messages=messages)["param"]).startswith("messages")
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    assert str(refusal(messages=[image])["param"]).startswith("messages.0.content")


def test_prompts_are_texts_and_no_tokens() -> None:
    assert completion(b'{"prompt": ["a", "b"], "n": 2}').answers == 4
    for prompt in ([1, 2], [[1, 2]], [], 5, None):
        with pytest.raises(Refusal) as raised:
            completion(json.dumps({"prompt": prompt}).encode())
        assert raised.value.status == 400
    with pytest.raises(Refusal, match="tokenized_requests"):
        completion(b'{"prompt": [1, 2]}')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"messages": ' + b"[" * 100_000,
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"messages": [{"role": "user", "content": "q"}], "temperature": NaN}',
        b'{"messages": [{"role": "user", "content": "q"}], "temperature": 1e999}',
        b'{"messages": [{"role": "user", "content": "q"}], "seed": ' + b"9" * 10_000 + b"}",
    ],
    ids=["empty", "torn", "list", "null", "bytes", "deep", "deeper", "surrogate", "nan", "infinite", "digits"],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    for read in (lambda: chat(body, system="refuse"), lambda: completion(body)):
        with pytest.raises(Refusal) as raised:
            read()
        assert raised.value.status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    *("messages", "model", "n", "temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "seed", "stop"),
    *("stream", "stream_options", "prompt", "best_of", "logprobs", "tools", "response_format", "logit_bias"),
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_any_value_of_any_field_is_understood_or_refused(fields: dict[str, object]) -> None:
    body = json.dumps({"messages": [USER], "prompt": "q", **fields}).encode()
    for read in (lambda: chat(body, system="refuse"), lambda: completion(body)):
        try:
            wanted = read()
        except Refusal:
            continue
        drawn = wanted.drawn(Distribution())
        assert wanted.answers >= 1
        assert 0 <= drawn.temperature <= 2
        assert 0 < drawn.top_p <= 1
