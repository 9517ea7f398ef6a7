"""Problems of reasoning-gym: the same everywhere, with answers that our graders tell from wrong ones."""

import builtins
import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest
import sympy
import sympy.parsing.sympy_parser
from reasoning_gym.factory import DATASETS

import coevolve
from coevolve.errors import ConfigError
from coevolve.evaluation.scoring import solves
from coevolve.grading.equivalence import OWN_RULES
from coevolve.grading.grade import Kind
from coevolve.suites import generated
from coevolve.suites.base import Loaded
from coevolve.suites.generated import generated_source
from coevolve.suites.generators import ANSWERS, REFUSED, SETS, How
from coevolve.suites.scorers import LONGEST, ByPackage, Computed, Reaches
from coevolve.worlds.base import Problem
from coevolve.worlds.open.exact.answer import true_answer

SLOW = {"futoshiki", "puzzle24", "sokoban", "zebra_puzzles"}  # to generate; the last is in a set
BY_NAME = [name for name in ANSWERS if name not in SLOW]
_LISTS = ("sets", "generators", "refused")
HOSTILE = (
    "__import__('os').system('touch hostile')",
    "(lambda: 1)()",
    "[" * 2000,
    "(" * 2000,
    '{"a": ' * 2000,
    "1e999999999",
    "-1e-999999999",
    "9**9**9**9",
    "9" * 5000,
    "nan",
    "inf",
    "1/0",
    "\\frac{1}{0}",
    "\x00",
    "\ud800",
    "A=1," * 2000,
    "",
    " ",
)


@pytest.fixture(scope="module")
def loaded() -> dict[str, Loaded]:
    """The named sets, and three problems of each other generator."""
    sets = {name: generated_source(name).load() for name in SETS}
    return sets | {name: generated_source(f"{name}:3").load() for name in BY_NAME}


def test_every_generator_of_the_package_is_known() -> None:
    assert set(ANSWERS) | set(REFUSED) == set(DATASETS)
    assert not set(ANSWERS) & set(REFUSED)
    assert {part.generator for named in SETS.values() for part in named.parts} <= set(ANSWERS)


def test_the_named_sets_are_those_that_were_published(loaded: dict[str, Loaded]) -> None:
    for name, named in SETS.items():
        found = loaded[name]
        assert len(found.problems) == named.size == generated_source(name).size
        assert found.digest == named.digest
        assert found.notes == ()
        assert found.copy.startswith("reasoning-gym ")
        assert found.copy.endswith(" seed 0")


def test_parts_have_their_shares_and_problems_are_asked_once(loaded: dict[str, Loaded]) -> None:
    problems = loaded["arithmetic"].problems
    assert Counter(p.topic for p in problems)["basic_arithmetic"] == 300 * 6 // 24
    assert Counter(p.level for p in problems if p.topic == "products") == {"easy": 25, "hard": 25}
    for found in loaded.values():
        assert len({p.task.question for p in found.problems}) == len(found.problems)
        assert len({p.task.id for p in found.problems}) == len(found.problems)
        assert all(p.task.measuring_only for p in found.problems)


def test_every_reference_answer_is_right_and_another_one_is_wrong(loaded: dict[str, Loaded]) -> None:
    several = {name for name, answers in ANSWERS.items() if answers.how in (How.PACKAGE, How.ONE_OF, How.REACHES)}
    for name, found in loaded.items():
        problems = found.problems
        assert [p.truth for p in problems if not solves(p.truth, p)] == [], name
        for p, other in zip(problems, [*problems[1:], problems[0]], strict=True):
            if p.topic == other.topic and p.topic not in several and not _same(p, other):
                assert not solves(other.truth, p), (name, p.truth, other.truth)
            assert not solves("no such answer", p), (name, p.truth)


def _same(first: Problem, second: Problem) -> bool:
    assert first.truth is not None
    assert second.truth is not None
    return first.truth.lower() == second.truth.lower() or OWN_RULES.same(first.truth, second.truth).same


def test_no_answer_is_evaluated_as_a_program_nor_stops_the_scorer(
    loaded: dict[str, Loaded], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise SystemExit("the text of a model was evaluated")  # which no scorer catches

    for module in list(sys.modules.values()):
        if module.__name__.startswith("reasoning_gym."):
            for name in {"parse_expr", "sympify", "parse_latex"} & set(vars(module)):
                if "propositional" not in module.__name__:  # a parser of its own
                    monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(sympy, "parse_expr", refuse)
    monkeypatch.setattr(sympy, "sympify", refuse)
    monkeypatch.setattr(sympy.parsing.sympy_parser, "parse_expr", refuse)
    monkeypatch.setattr(builtins, "eval", refuse)
    monkeypatch.setattr(builtins, "exec", refuse)
    monkeypatch.chdir(tmp_path)
    for name, found in loaded.items():
        for problem in found.problems[:3] if name in ANSWERS else ():
            assert not any(solves(answer, problem) for answer in HOSTILE if answer != problem.truth), name
            assert solves(problem.truth, problem)
    assert list(tmp_path.iterdir()) == []


def test_only_full_credit_is_right(loaded: dict[str, Loaded]) -> None:
    for problem in loaded["arithmetic"].problems:
        if problem.topic == "prime_factorization" and problem.truth and "×" in problem.truth:
            factors = problem.truth.split(" × ")
            assert solves(" \\times ".join(reversed(factors)), problem)
            product = 1
            for factor in factors:
                product *= int(factor)
            assert not solves(str(product), problem)  # half the credit
        if problem.topic == "fraction_simplification" and problem.truth:
            scorer = problem.scorer
            assert isinstance(scorer, ByPackage)
            facts = scorer.entry["metadata"]
            low, high = facts["simplified_numerator"], facts["simplified_denominator"]
            assert solves(f"\\frac{{{low}}}{{{high}}}", problem)
            assert not solves(f"{2 * low}/{2 * high}", problem)


def test_the_expression_of_the_question_is_no_answer_to_it() -> None:
    right = Computed("-1043")
    assert all(map(right, ("-1043", "-1,043", "$-1043$", "-1{,}043", "-1043.0", "\\text{-1043}", "−1043")))
    assert not any(map(right, ("444 + -825 - 662", "-2086/2", "-149*7", "1043", "-1042")))
    sum_of_two = Computed("4.0 - 7.0i")
    assert all(map(sum_of_two, ("4-7i", "4 - 7i", "(4 - 7i)", "-7i+4")))
    assert not any(map(sum_of_two, ("(-6+2i)+(10-9i)", "4+7i", "nan")))


def test_an_expression_must_use_every_number_once_and_reach_the_target() -> None:
    right = Reaches((8, 3, 1), 27)
    assert all(map(right, ("(8+1)*3", "3 \\times (1 + 8)", "$3·(8+1)$".replace("·", "\\cdot ")))), right
    assert not any(map(right, ("27", "3*8+3", "3**(1+8)", "(8+1)3", "3*(8-1)", "8 1*3", "(8+1)*3 = 27")))
    assert Reaches((6, 4), 24)("6*4")
    assert not Reaches((2, 3), 8)("2**3")
    assert Reaches((7, 2, 2), 7)("\\frac{7}{2} * 2")


def test_an_answer_longer_than_any_right_one_is_wrong_without_being_read(loaded: dict[str, Loaded]) -> None:
    problem = next(p for p in loaded["logic"].problems if p.topic == "knights_knaves")
    assert problem.truth is not None
    assert solves(problem.truth, problem)
    assert not solves(problem.truth + " " * LONGEST + ".", problem)


def test_problems_are_the_same_in_every_process() -> None:
    specs = [f"{name}:30" for name in SETS]
    assert _digests(specs, "1") == [generated_source(spec).load().digest for spec in specs]


@pytest.mark.slow
def test_problems_of_every_generator_are_the_same_in_every_process() -> None:
    specs = [f"{name}:{4 if name in SLOW else 100}" for name in ANSWERS if name != "aiw"]  # which has fewer
    assert _digests(specs, "1") == _digests(specs, "2")


def _digests(specs: Sequence[str], seed: str) -> list[str]:
    """What another process finds, with other random states and another order of sets."""
    script = (
        f"import random, numpy; random.seed({seed}); numpy.random.seed({seed})\n"
        "from coevolve.suites.generated import generated_source\n"
        f"for spec in {list(specs)}: print(generated_source(spec).load().digest)"
    )
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(coevolve.__file__).parents[1])}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_size_and_seed_may_follow_the_name() -> None:
    usual, more, other = (generated_source(name) for name in ("gcd:5", "gcd:8", "gcd:5:1"))
    assert [s.name for s in (usual, more, other)] == ["gym:gcd:5", "gym:gcd:8", "gym:gcd:5:1"]
    assert [s.size for s in (usual, more, other)] == [5, 8, 5]
    assert generated_source("gcd").name == generated_source("GCD:200:0").name == "gym:gcd"
    assert generated_source("word_problems").name == "gym:word-problems"
    first, longer, seeded = ([p.task.question for p in s.load().problems] for s in (usual, more, other))
    assert longer[:5] == first
    assert not set(first) & set(seeded)
    assert [len(generated_source(f"mixed:{n}").load().problems) for n in (1, 7, 50)] == [1, 7, 50]


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("simple_integration", "evaluate the text of the model", "docs/suites.md"),
        ("rush_hour", "as long as it likes", "docs/suites.md"),
        ("word_ladder", "differ from process to process", "docs/suites.md"),
        ("gsm_symbolik", "no generator 'gsm_symbolik'", "did you mean gym:gsm_symbolic"),
        ("gsm", "no generator 'gsm'", "did you mean gym:gsm_symbolic?"),
        ("nothing-like-it", "no generator", "gym:word-problems"),
        ("gcd:0", "asks for 0 problems", "1 to 100,000"),
        ("gcd:five", "no name of a generated suite", "gym:NAME:SIZE:SEED"),
        ("", "no name of a generated suite", "gym:NAME"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_made(name: str, what: str, fix: str) -> None:
    with pytest.raises(ConfigError, match=what) as refused:
        generated_source(name)
    assert fix in refused.value.fix


def test_a_generator_with_fewer_problems_says_how_many_there_are() -> None:
    with pytest.raises(ConfigError, match="different problems with an answer where 600 are wanted") as refused:
        generated_source("coin_flip:600:2").load()
    assert "gym:coin_flip:" in refused.value.fix


def test_another_version_of_the_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated.metadata, "version", lambda _: "9.9.9")
    monkeypatch.setattr(generated, "content_digest", lambda _: "0" * 64)
    found = generated_source("word-problems").load()
    assert found.copy == "reasoning-gym 9.9.9 seed 0"
    assert "does not make the problems that 0.1.25 made as gym:word-problems" in found.notes[0]
    assert generated_source("gcd:2").load().notes == ()


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    source = generated_source("arithmetic")  # nothing is imported yet
    with pytest.raises(ConfigError, match="gym:arithmetic needs the package reasoning-gym") as refused:
        source.load()
    assert refused.value.fix == "pip install 'coevolve[gym]'"


def test_naming_a_suite_imports_nothing_of_the_package() -> None:
    script = "import sys; from coevolve.suites.registry import find, names; names(); find('gym:mixed'); " + (
        "print([m for m in sys.modules if m.split('.')[0] in ('reasoning_gym', 'torch', 'matplotlib')])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(coevolve.__file__).parents[1])}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_problems_can_be_sent_to_another_process(loaded: dict[str, Loaded]) -> None:
    for name in ("fraction_simplification", "countdown", "n_queens", "basic_arithmetic", "gsm_symbolic"):
        for problem in loaded[name].problems:
            again = pickle.loads(pickle.dumps(problem))
            assert again.task == problem.task
            assert solves(problem.truth, again)


def test_the_exact_solver_of_the_open_world_contradicts_no_problem(loaded: dict[str, Loaded]) -> None:
    problems = [problem for name in SETS for problem in loaded[name].problems]
    answers = [(problem, true_answer(problem.task.question)) for problem in problems]
    known = [(problem, answer) for problem, answer in answers if answer is not None]
    assert [problem.task.question for problem, answer in known if not solves(answer, problem)] == []
    assert len(known) >= 100


def test_votes_over_several_right_answers_are_counted_by_their_text() -> None:
    assert {ANSWERS[name].kind for name in ("jugs", "graph_color", "n_queens")} == {Kind.EXACT}


def test_the_documentation_names_every_generator_and_set() -> None:
    text = (Path(__file__).parents[2] / "docs" / "suites.md").read_text()
    listed = {part: text.split(f"<!-- {part} -->")[1].split(f"<!-- /{part} -->")[0] for part in _LISTS}
    assert set(re.findall(r"`([a-z0-9_]+)`", listed["generators"])) == set(ANSWERS)
    rows = re.findall(r"\| (`.*`) \| (.*) \|", listed["refused"])
    assert {name: why for names, why in rows for name in _names(names)} == dict(REFUSED)
    for name, named in SETS.items():
        row = next(line for line in listed["sets"].splitlines() if f"`gym:{name}`" in line)
        assert row.split(" | ")[1] == str(named.size)
        assert _names(row.split(" | ")[2]) == list(dict.fromkeys(part.generator for part in named.parts))
        assert f"`{named.digest[:8]}`" in row


def _names(text: str) -> list[str]:
    return re.findall(r"`([a-z0-9_]+)`", text)
