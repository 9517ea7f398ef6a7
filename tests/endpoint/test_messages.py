"""Addresses of endpoints and names of models, in the forms that users and servers give."""

import pytest

from coevolve.endpoint.messages import base_url, same_model
from coevolve.errors import ConfigError


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
