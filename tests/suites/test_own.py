"""Sums and word problems of this package: every answer is derived once more from the words of its question."""

import ast
import math
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

import coevolve
from coevolve.errors import ConfigError
from coevolve.evaluation.scoring import solves
from coevolve.suites.own import MOST, SETS, own_source
from coevolve.suites.registry import find, listing
from coevolve.worlds.base import Problem

SPECS = ("sums", "word-problems", "sums:300:5", "word-problems:300:5")


@pytest.fixture(scope="module")
def problems() -> dict[str, tuple[Problem, ...]]:
    return {spec: own_source(spec).load().problems for spec in SPECS}


# --- a second derivation of every answer, from the words of the question alone ---


def value(expression: str) -> Fraction:
    """The value of an expression of numbers, signs and brackets, read by Python's own parser."""

    def of(node: ast.expr) -> Fraction:
        match node:
            case ast.Constant(value=int(number)):
                return Fraction(number)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -of(operand)
            case ast.BinOp(left=left, op=op, right=right):
                a, b = of(left), of(right)
                signs = {ast.Add: a + b, ast.Sub: a - b, ast.Mult: a * b, ast.Pow: a**2 if b == 2 else a**3}
                return a / b if isinstance(op, ast.Div) else signs[type(op)]
        raise ValueError(ast.dump(node))

    plain = expression.replace("×", "*").replace("÷", "/").replace("^", "**")
    return of(ast.parse(plain, mode="eval").body)


def common_divisor(a: int, b: int) -> int:
    return max(n for n in range(1, min(a, b) + 1) if a % n == b % n == 0)


def common_multiple(a: int, b: int) -> int:
    return next(n for n in range(a, a * b + 1, a) if n % b == 0)


Rule = tuple[str, Callable[..., int | Fraction]]  # words with N for each number; what its numbers give

IN_WORDS: tuple[Rule, ...] = (
    (r"What is the sum of N and N\?|What is N plus N\?|Add N and N\. What do you get\?", lambda a, b: a + b),
    (r"What is the difference between N and N\?|What is N minus N\?", lambda a, b: a - b),
    (r"Subtract N from N\. What is left\?", lambda a, b: b - a),
    (
        r"What is the product of N and N\?|What is N times N\?|Multiply N by N\. What is the result\?",
        lambda a, b: sum([a] * b),
    ),
    (r"What is N divided by N\?|Divide N by N\. What is the result\?", lambda a, b: Fraction(a, b)),
    (r"How many times does N go into N\?", lambda a, b: len(range(a, b + 1, a))),
    (
        r"What is the remainder when N is divided by N\?|Find the remainder of N divided by N\.",
        lambda a, b: a - b * math.floor(a / b),
    ),
    (r"What is the square of N\?|What is N squared\?", lambda a: a * a),
    (r"Multiply N by N and add N to the result\. What do you get\?", lambda a, b, c: a * b + c),
    (r"Subtract N from the product of N and N\. What is the result\?", lambda c, a, b: a * b - c),
    (r"Add N and N, then multiply the sum by N\. What is the result\?", lambda a, c, b: a * b + c * b),
    (r"By how much is the product of N and N larger than N\?", lambda a, b, c: a * b - c),
    *(
        rule
        for k, word in ((2, "twice"), (3, "three times"), (4, "four times"), (5, "five times"))
        for rule in (
            (rf"What is {word} the sum of N and N\?", lambda a, b, k=k: k * a + k * b),
            (rf"What is {word} the difference between N and N\?", lambda a, b, k=k: k * a - k * b),
        )
    ),
    (
        r"What is the greatest common divisor of N and N\?|Find the greatest common factor of N and N\.",
        common_divisor,
    ),
    (
        r"What is the least common multiple of N and N\?|Find the smallest common multiple of N and N\.",
        common_multiple,
    ),
    (r"What is N% of N\?|Find N percent of N\.", lambda p, a: Fraction(p, 100) * a),
    (r"What is the cube of N\?|What is N to the power of 3\?|What is N cubed\?", lambda a, *_: a * a * a),
    (
        r"What is the remainder when the product of N and N is divided by N\?",
        lambda a, b, c: (a % c) * (b % c) % c,
    ),
    (r"What is the sum of the squares of N and N\?", lambda a, b: a * a + b * b),
    (r"What is the difference between the squares of N and N\?", lambda a, b: (a + b) * (a - b)),
    (r"What is the average of N, N and N\?", lambda a, b, c: Fraction(a + b + c, 3)),
)


def minutes(hour: int, minute: int, half: str) -> int:
    return 60 * (hour % 12 + (12 if half == "p" else 0)) + minute


STORIES: tuple[Rule, ...] = (
    (r"W has N W, and W has N\. W have in total\?", lambda a, b: a + b),
    (r"W is N centimeters tall, and W is N centimeters tall\. W", lambda a, b: a - b),
    (r"A W costs N dollars, and a W costs N times as much\. W", lambda p, k: p * k),
    (r"W (?:does|learns|swims|answers) N W every day\. W is that in N days\?", lambda n, d: n * d),
    (r"A W had N W last year and has N more now\. W", lambda a, b: a + b),
    (r"W buys N W at N dollars each\. W", lambda n, p: n * p),
    (r"There are N W in a W\. W takes out N of them\. W", lambda a, b: a - b),
    (r"W gives N W to N friends\. Every friend gets the same number of W\. W", lambda total, n: Fraction(total, n)),
    (r"A W has N rows of N (?:seats|vines|spaces)\. W", lambda r, c: r * c),
    (r"A W travels for N hours at a steady N kilometers per hour\. W", lambda h, v: v * h),
    (r"At dawn the temperature W was -N degrees\. By noon it had risen by N degrees\. W", lambda low, up: up - low),
    (r"W packs N W, N to a W, and fills as many W as (?:she|he) can\. W left over\?", lambda n, k: n - n // k * k),
    (r"W buys N W that cost N dollars each and pays with a N-dollar bill\. W", lambda n, p, bill: bill - n * p),
    (r"W counts N full W with N W in each, and N loose W\. W", lambda full, k, rest: full * k + rest),
    (r"A rectangular W is N meters long and N meters wide\. W fence W", lambda a, b: a + b + a + b),
    (r"W has N dollars in a piggy bank and puts in N dollars every week\. W after N weeks\?",
     lambda s, w, n: s + w * n),
    (r"W wants to buy a W for N dollars\. W already has N dollars and saves N dollars every week\. W",
     lambda cost, have, more: Fraction(cost - have, more)),
    (r"A W sets off with N passengers\. At the first W N of them get off and N other people get on\. W",
     lambda a, off, on: a - off + on),
    (r"W is reading a book of N pages\. W has read N pages a day for N days\. W", lambda p, d, n: p - d * n),
    (r"An? W lasts N hours and N minutes\. W", lambda h, m: 60 * h + m),
    (r"An? W lasts N weeks and N days\. W", lambda w, d: 7 * w + d),
    (r"A W normally costs N dollars\. In a sale its price is reduced by N percent\. W",
     lambda full, off: full - Fraction(off * full, 100)),
    (r"A recipe for N W needs N grams of flour\. W needed for N W", lambda n, g, m: Fraction(g, n) * m),
    (r"A W can hold N liters and already contains N liters\. A hose adds N liters every minute\. W full\?",
     lambda size, inside, rate: Fraction(size - inside, rate)),
    (r"W has N W\. W has N times as many W as W\. W together\?", lambda n, k: n * (k + 1)),
    (r"W is N years old\. W neighbor W is N times as old\. W in N years\?", lambda age, k, y: age * k + y),
    (r"N W travel by bus\. Every bus has N seats, W smallest number W",
     lambda people, seats: next(n for n in range(1, people) if n * seats >= people)),
    (r"W buys N W for N dollars in total and sells all of them at N dollars each\. W profit W",
     lambda n, paid, price: n * price - paid),
    (r"Two towns are N kilometers apart\. W one at N and the other at N kilometers per hour\. W meet\?",
     lambda far, a, b: next(h for h in range(1, far) if a * h + b * h == far)),
    (r"A gardener plants N rows of N W\. Then W eat N of the W\. W remain\?", lambda r, c, gone: r * c - gone),
    (r"The W on Mill Street makes N W a day, and the one on Park Street makes N a day\. W Mill Street W in N days\?",
     lambda a, b, days: a * days - b * days),
    (r"There are N (?:cows|sheep|goats|horses) and N (?:hens|geese|ducks|turkeys) on a farm\. W legs W",
     lambda four, two: 4 * four + 2 * two),
    (r"A W leaves at N:N ([ap])\.m\. and reaches W at N:N ([ap])\.m\. on the same day\. W",
     lambda h, m, half, h2, m2, half2: minutes(h2, m2, half2) - minutes(h, m, half)),
    (r"A ticket W costs N dollars for an adult and N dollars for a child\. W do N adults and N children W",
     lambda adult, child, x, y: adult * x + child * y),
    (r"W earns N dollars an hour and works N hours a day on N days of every week\. W in N weeks\?",
     lambda pay, hours, days, weeks: pay * hours * days * weeks),
    (r"W picked N kilograms of W\. W picked N kilograms more than W, and W picked half as much as W\. W together\?",
     lambda x, more: x + (x + more) + Fraction(x + more, 2)),
    (r"In three W scored N, N and N points\. W average score, in points\?", lambda a, b, c: Fraction(a + b + c, 3)),
    (r"The floor of a rectangular W is N meters long and N meters wide\. W are N centimeters long\. W tiles W",
     lambda a, b, side: Fraction(100 * a * 100 * b, side * side)),
    (r"There are N children in a class\. One third W and N children come by bicycle\. W bus\?",
     lambda n, bikes: n - Fraction(n, 3) - bikes),
    (r"A phone plan costs N dollars a month and N cents for every message\. W with N messages cost\?",
     lambda base, cents, n: base + Fraction(cents, 100) * n),
    (r"A machine makes N W in N minutes\. W in N hours at the same speed\?",
     lambda n, m, hours: Fraction(n, m) * 60 * hours),
    (r"A W eats N grams of food every morning and the same amount every evening\. W with N kilograms of food last\?",
     lambda grams, kilos: Fraction(1000 * kilos, 2 * grams)),
    (r"W has N coins of N cents and N coins of N cents\. W", lambda n, a, m, b: n * a + m * b),
    (r"W drives for N hours at N kilometers per hour and then for N hours at N kilometers per hour\. W",
     lambda h, v, h2, v2: h * v + h2 * v2),
    (r"N friends order N pizzas for N dollars each and N bottles of juice for N dollars each\. W share W",
     lambda people, n, p, m, q: Fraction(n * p + m * q, people)),
    (r"A school has N dollars for a trip of N children and N adults\. W costs N dollars, W a ticket for N dollars\. W",
     lambda have, children, adults, bus, ticket: have - bus - ticket * children - ticket * adults),
    (r"An orchard has N rows of N trees, W gives N kilograms of W\. N kilograms are sold W of N kilograms\. W",
     lambda rows, trees, each, sold, box: Fraction(rows * trees * each - sold, box)),
    (r"A room has four walls, each N meters long and N meters high\. W take up N square meters\. W covers N square W",
     lambda side, high, holes, can: Fraction(4 * side * high - holes, can)),
    (r"W restaurant has N tables with N chairs each\. W N chairs stay empty, W orders N drinks at N dollars W",
     lambda tables, seats, empty, drinks, price: (tables * seats - empty) * drinks * price),
)  # fmt: skip


def says(words: str, question: str) -> re.Match[str] | None:
    """Whether a question has these words, in which N stands for a number and W for words without one."""
    return re.fullmatch(re.sub(r"\bW\b", "[^0-9]+", re.sub(r"\bN\b", "([0-9]+)", words)), question)


def derived(question: str, rules: tuple[Rule, ...]) -> Fraction:
    """The answer by the one rule whose words the question has."""
    found = []
    for words, rule in rules:
        match = says(words, question)
        if match:
            groups = [group for group in match.groups() if group is not None]
            found.append(Fraction(rule(*(int(group) if group.isdigit() else group for group in groups))))
    (answer,) = found
    return answer


def answer_to(spec: str, question: str) -> Fraction:
    if not spec.startswith("sums"):
        return derived(question, STORIES)
    symbols = re.fullmatch(r"(?:Calculate|Compute|Evaluate|What is|Find the value of) ([-0-9 +*/×÷^()]+)[.?]", question)
    return value(symbols[1]) if symbols else derived(question, IN_WORDS)


@pytest.mark.parametrize("spec", SPECS)
def test_every_answer_follows_from_the_words_of_its_question(problems, spec: str) -> None:
    for problem in problems[spec]:
        question = problem.task.question
        assert Fraction(problem.truth or "") == answer_to(spec, question), question


def test_the_two_sets_cover_many_situations_levels_and_numbers(problems) -> None:
    used = {
        next(i for i, (words, _) in enumerate(STORIES) if says(words, problem.task.question))
        for problem in problems["word-problems"]
    }
    assert len(used) == len(STORIES) >= 25
    levels = {spec: Counter(p.level for p in problems[spec]) for spec in ("sums", "word-problems")}
    assert sorted(levels["sums"]) == ["1", "2", "3"]
    assert sorted(levels["word-problems"]) == ["1", "2", "3", "4"]
    assert min(*levels["sums"].values(), *levels["word-problems"].values()) >= 15
    for spec in SPECS:
        assert len({problem.truth for problem in problems[spec]}) > len(problems[spec]) / 2


@pytest.mark.parametrize("name", SETS)
def test_no_question_is_asked_twice_at_any_size(name: str) -> None:
    source = own_source(f"{name}:{MOST}:3")
    questions = [problem.task.question for problem in source.load().problems]
    assert len(set(questions)) == source.size == MOST
    assert all(question == " ".join(question.split()) for question in questions)
    assert not any(re.search(r"\b(?:0|1) [a-z]+s\b", question) for question in questions)  # "1 apples"


@pytest.mark.parametrize("name", SETS)
def test_size_and_seed_follow_the_name_and_a_longer_set_begins_as_a_shorter_one(name: str) -> None:
    usual, short, other = (own_source(spec) for spec in (name, f"{name}:7", f"{name.replace('-', '_')}:200:1"))
    assert [source.name for source in (usual, short, other)] == [name, f"{name}:7", f"{name}:200:1"]
    assert own_source(f" {name.upper()}:200:0 ").name == name
    first, few, seeded = ([p.task.question for p in source.load().problems] for source in (usual, short, other))
    assert (len(first), few) == (200, first[:7])
    assert len(set(first) & set(seeded)) <= 2
    assert all(p.task.measuring_only and p.topic for p in usual.load().problems)


def test_the_problems_are_the_same_in_every_process() -> None:
    script = "from coevolve.suites.own import own_source\n" + (
        f"for spec in {[*SETS]}: print(own_source(spec).load().digest)"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(coevolve.__file__).parents[1])}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    known = [own.digest for own in SETS.values()]
    assert ended.stdout.split() == known == [own_source(name).load().digest for name in SETS]


def test_the_value_is_right_and_the_question_itself_is_not(problems) -> None:
    for problem in problems["sums"]:
        assert solves(problem.truth, problem)
        symbols = re.search(r"[-0-9 +*/×÷^()]{7,}", problem.task.question)
        assert symbols is None or not solves(symbols[0].strip(), problem)
    bill = next(p for p in problems["word-problems"] if "change" in p.task.question)
    assert solves(f"{problem_value(bill)} dollars", bill)
    assert solves(f"\\${problem_value(bill)}.00", bill)
    assert not solves(str(problem_value(bill) + 1), bill)


def problem_value(problem: Problem) -> int:
    return int(problem.truth or "")


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("sums:0", "asks for 0"),
        (f"sums:{MOST + 1}", "asks for"),
        ("sums:many", "no name"),
        ("word-problems:1:2:3", "no"),
    ],
)
def test_a_size_out_of_range_is_refused_before_anything_is_made(spec: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        find(spec)


def test_the_sets_are_found_and_listed_with_the_benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {line.name: line for line in listing()}
    assert {listed[name].size for name in SETS} == {200}
    assert find("word_problems:20").size == 20
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sums.csv").write_text("question,answer\n1 + 1?,2\n")
    assert find("sums.csv").name == "sums.csv"  # not taken for ours
    assert find("sums").size == 200


def test_the_documentation_has_the_sets_as_they_are(problems) -> None:
    text = (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")
    table = text.split("<!-- own -->")[1].split("<!-- /own -->")[0]
    for name, own in SETS.items():
        cells = next(line for line in table.splitlines() if f"| `{name}` |" in line).split(" | ")
        levels = sorted({problem.level for problem in problems[name]})
        assert cells[1:3] == ["200", f"`{levels[0]}` to `{levels[-1]}`"]
        assert f"`{own.digest[:8]}`" in cells[4]
    assert f"{len({form.make for form in SETS['word-problems'].forms})} situations" in table


def test_no_problem_is_a_worked_example_of_a_packaged_prompt(problems) -> None:
    shown = set()
    for path in (files("coevolve") / "worlds" / "open").joinpath("prompts").iterdir() if PROMPTS.is_dir() else ():
        if path.name.endswith(".yaml"):
            shown |= set(texts_of(yaml.safe_load(path.read_text(encoding="utf-8"))))
    for spec in SPECS:
        for problem in problems[spec]:
            assert not [text for text in shown if like(problem.task.question, text)]


PROMPTS = Path(str(files("coevolve") / "worlds" / "open" / "prompts"))


def texts_of(value: object) -> list[str]:
    """All texts within a prompt file."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts_of(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts_of(item)]
    return [value] if isinstance(value, str) else []


def like(question: str, text: str) -> bool:
    """Whether a text has the question in it, or, of a long question, eight of its words in a row but for numbers."""
    if question.lower() in text.lower():
        return True
    words, others = (re.sub(r"[0-9]+", "#", one.lower()).split() for one in (question, text))
    if len(words) < 16:
        return False
    rows = {tuple(others[i : i + 8]) for i in range(len(others) - 7)}
    return any(tuple(words[i : i + 8]) in rows for i in range(len(words) - 7))
