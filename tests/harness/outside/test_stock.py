"""The commands of inspect and lm-eval against an OpenAI-compatible server, with the tasks of examples/harnesses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_endpoint import MODEL, Asked, Says, ScriptedEndpoint

from .commands import EXAMPLES, Command, inspect, lm_eval

pytestmark = pytest.mark.evals
ROWS = [json.loads(line) for line in (EXAMPLES / "questions.jsonl").read_text().splitlines()]
RIGHT = 27  # of 40


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedEndpoint]:
    """Knows the answers to 27 of the questions, in the last of two boxes; cannot read any other text."""
    known = {row["question"]: row["answer"] for row in ROWS[:RIGHT]} | {row["question"]: "no" for row in ROWS[RIGHT:]}

    def script(asked: Asked) -> Says:
        return Says(f"At first \\boxed{{1}}.\nThen \\boxed{{{known[asked.question]}}}.")

    with ScriptedEndpoint(script) as served:
        yield served


def test_both_score_known_answers_to_the_last_digit(
    endpoint: ScriptedEndpoint, command: Command, tmp_path: Path
) -> None:
    wanted = {row["question"]: row["answer"] if i < RIGHT else "no" for i, row in enumerate(ROWS)}
    for score in (lm_eval, inspect):
        found = score(command, EXAMPLES, endpoint.url, MODEL, tmp_path)
        assert found.accuracy == RIGHT / 40
        assert found.taken == wanted
    assert len(endpoint.asked) == 80
    assert all(asked.greedy for asked in endpoint.asked)
