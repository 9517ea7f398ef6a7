"""Dialogues in the textbook: chains asked turn by turn, of the same mixed quality, and nothing of the meter's part."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest

from coevolve.worlds.miniature.calibration import recalls_in
from coevolve.worlds.miniature.corpus import ALL_TOOL, MOST_TURNS, Document, Mixture, documents
from coevolve.worlds.miniature.grammar import is_reserved, is_well_formed, parse, questions_so_far, user_turns
from coevolve.worlds.miniature.truth import answer

N = 2000
TURN = re.compile(r"<question>(.*?)</question>\n(.*?)(?:<\|endoftext\|>|$)", re.DOTALL)


@pytest.fixture(scope="module")
def talks() -> list[Document]:
    return list(islice(documents(Mixture(dialogues=1.0), 7), N))


def turns_of(document: Document) -> list[str]:
    return [question for question, _ in TURN.findall(document.text)]


def chain_of(document: Document) -> str:
    """The chain whose turns these are."""
    *lets, last = turns_of(document)
    return "".join(turn.rpartition("Find ")[0] for turn in lets) + last


def boxes(document: Document) -> list[str]:
    return [re.findall(r"\\boxed\{(-?\d+)\}$", given)[0] for _, given in TURN.findall(document.text)]


def test_every_document_is_a_chain_in_the_turns_of_the_world(talks) -> None:
    for talk in talks:
        turns, chain = turns_of(talk), chain_of(talk)
        assert is_well_formed(chain)
        assert tuple(turns) == user_turns(chain, len(turns))
        assert len(boxes(talk)) == len(turns)
    counts = Counter(len(turns_of(talk)) for talk in talks)
    assert set(counts) == set(range(2, MOST_TURNS + 1))
    assert min(counts.values()) > 0.1 * N


def test_no_turn_of_a_dialogue_asks_a_reserved_question(talks) -> None:
    for talk in talks:
        assert not any(map(is_reserved, questions_so_far(chain_of(talk), len(turns_of(talk)))))
        assert not is_reserved(turns_of(talk)[0])


def test_the_share_of_dialogues_is_the_one_asked_for() -> None:
    mixed = list(islice(documents(Mixture(dialogues=0.3), 1), N))
    assert sum(len(turns_of(d)) > 1 for d in mixed) / N == pytest.approx(0.3, abs=0.05)


def test_right_documents_box_the_true_answer_of_every_turn_and_do_one_step_for_each() -> None:
    for talk in islice(documents(replace(ALL_TOOL, dialogues=1.0), 1), 300):
        chain = chain_of(talk)
        assert boxes(talk) == [answer(so_far) for so_far in questions_so_far(chain, len(turns_of(talk)))]
        assert talk.text.count("```output\n") == len(parse(chain) or ())


def test_as_many_follow_ups_go_on_from_the_answer_before_as_the_mixture_says() -> None:
    right_code = replace(ALL_TOOL, dialogues=1.0, recalled=0.6)
    recalled = [r for talk in islice(documents(right_code, 2), N) for r in recalls_in(talk.text)]
    assert len(recalled) > N
    assert sum(recalled) / len(recalled) == pytest.approx(0.6, abs=0.03)


def test_few_dialogues_of_the_textbook_end_in_the_true_answer(talks) -> None:
    right = [boxes(talk)[-1] == answer(chain_of(talk)) for talk in talks]
    first = [boxes(talk)[0] == answer(turns_of(talk)[0]) for talk in talks]
    assert 0.02 < sum(right) / N < 0.25
    assert 0.2 < sum(first) / N < 0.8


def test_user_turns_and_tool_outputs_are_not_learnt(talks) -> None:
    for talk in talks[:300]:
        shown = [text for text, learn in talk.pieces if not learn]
        follow_ups = [f"<question>{turn}</question>\n" for turn in turns_of(talk)[1:]]
        assert [text for text in shown if text.startswith("<question>")] == follow_ups
        assert len(shown) - len(follow_ups) == talk.text.count("```output\n")


@pytest.mark.parametrize(("mixture", "digest"), [(Mixture(), "c4d1f1b6acc12fba"), (ALL_TOOL, "f48e24be7e5a33eb")])
def test_without_dialogues_the_textbook_is_still_that_of_the_first_base_model(mixture: Mixture, digest: str) -> None:
    """Digests from the commit before dialogues came: the first base model can be made again."""
    texts = "\n".join(document.text for document in islice(documents(mixture, 0), 200))
    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == digest
