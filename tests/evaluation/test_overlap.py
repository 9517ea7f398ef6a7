"""Near-duplicates between two sets of questions, against closed forms and a search of all pairs."""

import itertools
from collections import Counter

import numpy as np
import pytest

from coevolve.curriculum.bleu import bleu
from coevolve.evaluation import overlap
from coevolve.evaluation.overlap import LEAST_ALIKE, RUN, matches, words

LONG = "a farmer has seven cows and three sheep and sells two of the cows to his neighbour for forty coins"
OTHER = "how many ways are there to seat nine guests at a round table when two of them refuse to sit together"


def test_words_are_compared_without_case_and_punctuation_but_with_signs_and_decimals() -> None:
    assert words("What is 3.5 - 1,200?") == ["what", "is", "3.5", "-", "1200"]
    assert words("$\\frac{1}{2}$ ≥ x_1") == ["frac", "1", "2", "≥", "x", "_", "1"]
    assert words("WHAT   is\n3.5 - 1200") == words("What is 3.5 - 1,200?")
    assert words("2 + 3") != words("2 - 3")
    assert words("2 * (3 + 4)") != words("(2 * 3) + 4")
    assert words(" .,!? ") == []


def test_an_equal_question_is_found_by_all_three_measures() -> None:
    found = matches([LONG.upper() + "!"], [OTHER, LONG])
    assert (found.exact.tolist(), found.shared.tolist(), found.alike.tolist()) == ([1], [1], [1])
    assert found.bleu == pytest.approx([1.0])


def test_thirteen_words_in_a_row_are_an_overlap_and_twelve_are_not() -> None:
    start = LONG.split()
    thirteen, twelve = (" ".join(["so", *start[:n], "and", "then", "what"]) for n in (13, 12))
    assert matches([LONG], [thirteen]).shared.tolist() == [0]
    assert matches([LONG], [twelve]).shared.tolist() == [-1]
    assert RUN == 13


def test_a_short_question_overlaps_where_the_whole_of_it_stands_in_a_training_text() -> None:
    trained = ["First tell me: what is 7 times 8? Then add one.", "7 times 8 is what?"]
    assert matches(["What is 7 times 8?"], trained).shared.tolist() == [0]
    assert matches(["What is 7 times 9?"], trained).shared.tolist() == [-1]
    assert matches(["What is 7 times 8?"], trained).exact.tolist() == [-1]


def test_a_run_of_words_does_not_go_over_the_end_of_a_text() -> None:
    first, second = LONG.split()[:10], LONG.split()[10:]
    assert matches([LONG], [" ".join(first), " ".join(second)]).shared.tolist() == [-1]


def test_texts_without_words_match_nothing() -> None:
    found = matches(["", "?!", LONG], ["", "..."])
    assert found.exact.tolist() == found.shared.tolist() == found.alike.tolist() == [-1, -1, -1]
    assert len(matches([], [LONG]).exact) == 0
    assert matches([LONG], []).shared.tolist() == [-1]


def test_the_threshold_of_bleu_must_be_one_below_which_no_pair_is_missed() -> None:
    with pytest.raises(ValueError, match=r"above 0\.473"):
        matches([LONG], [OTHER], alike=0.4)
    with pytest.raises(ValueError, match="at most 1"):
        matches([LONG], [OTHER], alike=1.1)
    # the hypothesis of five words that has everything in common but four words in a row is the closest there is
    parts = [np.array([float(n)]) for n in (5, 4, 3, 0)]
    assert bleu(parts, np.array([5.0]), np.array([5.0])) == pytest.approx([LEAST_ALIKE])


def test_all_measures_agree_with_a_search_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_PAIRS_AT_ONCE", 40)  # several blocks
    monkeypatch.setattr(overlap, "_EXACT_AT_ONCE", 7)
    rng = np.random.default_rng(3)
    for letters in ("ab", "abcd", "abcdefgh"):

        def text(letters: str = letters) -> str:
            return " ".join(rng.choice(list(letters), size=rng.choice([0, 1, 3, 5, 8, 13, 14, 20])))

        trained = [text() for _ in range(40)]
        problems = [text() for _ in range(40)] + trained[:3] + [f"{one} x" for one in trained[3:9]]
        found = matches(problems, trained)
        for i, problem in enumerate(problems):
            near = [_bleu(one.split(), problem.split()) for one in trained]
            equal = [j for j, one in enumerate(trained) if one and one == problem]
            shared = [j for j, one in enumerate(trained) if _share_a_run(problem.split(), one.split())]
            assert found.exact[i] == min(equal, default=-1)
            assert (found.shared[i] in shared) if shared else (found.shared[i] == -1)
            assert found.bleu[i] == pytest.approx(max(near) if max(near) >= 0.5 else 0.0)
            assert found.alike[i] == (int(np.argmax(np.round(near, 9))) if max(near) >= 0.5 else -1)


def _runs(text: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))


def _share_a_run(problem: list[str], trained: list[str]) -> bool:
    n = min(len(problem), 13)
    return n > 0 and bool(_runs(problem, n) & _runs(trained, n))


def _bleu(hypothesis: list[str], reference: list[str]) -> float:
    """0 where the two have no four words in a row in common: such pairs are not looked at."""
    common = [(_runs(hypothesis, n) & _runs(reference, n)).total() for n in (1, 2, 3, 4)]
    if not common[-1]:
        return 0.0
    sizes = (np.array([float(len(one))]) for one in (hypothesis, reference))
    return float(bleu([np.array([float(n)]) for n in common], *sizes)[0])


def test_the_order_of_texts_does_not_change_what_is_found() -> None:
    trained = [OTHER, LONG, LONG.replace("seven", "eight"), LONG.replace("coins", "francs")]
    problems = [LONG.replace("two", "four"), OTHER.replace("nine", "ten")]
    results = set()
    for order in itertools.permutations(range(len(trained))):
        found = matches(problems, [trained[i] for i in order])
        results.add(tuple(np.round(found.bleu, 12)))
    assert len(results) == 1
