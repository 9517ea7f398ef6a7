"""Questions of arithmetic in words and symbols, whose answers are whole numbers.

Level 1 is one operation, level 2 two of them or one that has a name of its own, level 3 three or more.
"""

from __future__ import annotations

import math
from random import Random

from coevolve.suites.questions import Form, mixed

_ASK = ("Calculate {}.", "Compute {}.", "Evaluate {}.", "What is {}?", "Find the value of {}.")
_COUNTS = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}


def _asked(draw: Random, expression: str, answer: int) -> tuple[str, int]:
    """An expression in symbols, with the signs of a keyboard or of a book."""
    if draw.random() < 0.3:
        expression = expression.replace("*", "×").replace("/", "÷")
    return draw.choice(_ASK).format(expression), answer


def _sum(draw: Random) -> tuple[str, int]:
    a, b = draw.randint(12, 980), draw.randint(12, 980)
    words = ("What is the sum of {} and {}?", "What is {} plus {}?", "Add {} and {}. What do you get?")
    return draw.choice(words).format(a, b), a + b


def _difference(draw: Random) -> tuple[str, int]:
    a, b = draw.randint(200, 990), draw.randint(11, 190)
    if draw.random() < 0.3:
        return f"Subtract {b} from {a}. What is left?", a - b
    return draw.choice(("What is the difference between {} and {}?", "What is {} minus {}?")).format(a, b), a - b


def _product(draw: Random) -> tuple[str, int]:
    a, b = draw.randint(11, 99), draw.randint(6, 99)
    words = ("What is the product of {} and {}?", "What is {} times {}?", "Multiply {} by {}. What is the result?")
    return draw.choice(words).format(a, b), a * b


def _quotient(draw: Random) -> tuple[str, int]:
    b, answer = draw.randint(3, 40), draw.randint(6, 90)
    words = (
        "What is {} divided by {}?",
        "Divide {} by {}. What is the result?",
        "How many times does {1} go into {0}?",
    )
    return draw.choice(words).format(answer * b, b), answer


def _remainder(draw: Random) -> tuple[str, int]:
    a, b = draw.randint(100, 9999), draw.randint(6, 60)
    words = ("What is the remainder when {} is divided by {}?", "Find the remainder of {} divided by {}.")
    return draw.choice(words).format(a, b), a % b


def _square(draw: Random) -> tuple[str, int]:
    a = draw.randint(11, 199)
    return draw.choice(("What is the square of {}?", "What is {} squared?", "Calculate {}^2.")).format(a), a * a


def _one_sign(draw: Random) -> tuple[str, int]:
    a, b = draw.randint(1000, 9999), draw.randint(100, 999)
    if draw.random() < 0.5:
        return _asked(draw, f"{a} + {b}", a + b)
    return _asked(draw, f"{a} - {b}", a - b)


def _chain(draw: Random) -> tuple[str, int]:
    a, b, c = draw.randint(200, 900), draw.randint(20, 500), draw.randint(20, 190)
    return _asked(draw, f"{a} + {b} - {c}", a + b - c)


def _product_first(draw: Random) -> tuple[str, int]:
    a, b, c = draw.randint(11, 60), draw.randint(4, 30), draw.randint(20, 400)
    if draw.random() < 0.5:
        return _asked(draw, f"{c} + {a} * {b}", c + a * b)
    return _asked(draw, f"{a} * {b} - {c}", a * b - c)


def _told(draw: Random) -> tuple[str, int]:
    a, b, c = draw.randint(12, 90), draw.randint(4, 25), draw.randint(10, 40)
    words = (
        (f"Multiply {a} by {b} and add {c} to the result. What do you get?", a * b + c),
        (f"Subtract {c} from the product of {a} and {b}. What is the result?", a * b - c),
        (f"Add {a} and {c}, then multiply the sum by {b}. What is the result?", (a + c) * b),
    )
    return draw.choice(words)


def _larger(draw: Random) -> tuple[str, int]:
    a, b, c = draw.randint(12, 60), draw.randint(12, 60), draw.randint(15, 140)
    return f"By how much is the product of {a} and {b} larger than {c}?", a * b - c


def _times(draw: Random) -> tuple[str, int]:
    k, a, b = draw.randint(2, 5), draw.randint(120, 480), draw.randint(15, 110)
    if draw.random() < 0.5:
        return f"What is {_COUNTS[k]} the sum of {a} and {b}?", k * (a + b)
    return f"What is {_COUNTS[k]} the difference between {a} and {b}?", k * (a - b)


def _divisor(draw: Random) -> tuple[str, int]:
    g, (p, q) = draw.randint(2, 30), draw.sample((2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), 2)
    a, b = g * p, g * q
    words = ("What is the greatest common divisor of {} and {}?", "Find the greatest common factor of {} and {}.")
    return draw.choice(words).format(a, b), math.gcd(a, b)


def _multiple(draw: Random) -> tuple[str, int]:
    a, b = draw.sample(range(6, 90), 2)
    words = ("What is the least common multiple of {} and {}?", "Find the smallest common multiple of {} and {}.")
    return draw.choice(words).format(a, b), math.lcm(a, b)


def _percent(draw: Random) -> tuple[str, int]:
    p, a = draw.choice((5, 10, 15, 20, 25, 30, 35, 40, 45, 55, 60, 65, 70, 75, 80, 85, 90)), 20 * draw.randint(3, 95)
    return draw.choice(("What is {}% of {}?", "Find {} percent of {}.")).format(p, a), p * a // 100


def _cube(draw: Random) -> tuple[str, int]:
    a = draw.randint(4, 60)
    words = ("What is the cube of {}?", "What is {} to the power of 3?", "What is {} cubed?", "Calculate {}^3.")
    return draw.choice(words).format(a), a**3


def _bracket_first(draw: Random) -> tuple[str, int]:
    a, b, c, d = draw.randint(8, 90), draw.randint(8, 90), draw.randint(3, 25), draw.randint(5, 45)
    return _asked(draw, f"({a} + {b}) * {c} - {d}", (a + b) * c - d)


def _two_brackets(draw: Random) -> tuple[str, int]:
    a, b, c, d = draw.randint(40, 120), draw.randint(5, 38), draw.randint(3, 30), draw.randint(3, 30)
    return _asked(draw, f"({a} - {b}) * ({c} + {d})", (a - b) * (c + d))


def _within(draw: Random) -> tuple[str, int]:
    a, d, part = draw.randint(3, 25), draw.randint(3, 12), draw.randint(4, 20)
    b = draw.randint(2, d * part - 2)
    return _asked(draw, f"{a} * ({b} + {d * part - b}) / {d}", a * part)


def _long(draw: Random) -> tuple[str, int]:
    a, b, c, d, e = (draw.randint(11, 99) for _ in range(5))
    k = draw.randint(2, 9)
    return _asked(draw, f"{a} - ({b} - {c}) * {k} + {d} - {e}", a - (b - c) * k + d - e)


def _remainder_of_product(draw: Random) -> tuple[str, int]:
    a, b, c = draw.randint(12, 99), draw.randint(12, 99), draw.randint(5, 50)
    return f"What is the remainder when the product of {a} and {b} is divided by {c}?", a * b % c


def _squares(draw: Random) -> tuple[str, int]:
    a, b = draw.randint(20, 60), draw.randint(5, 19)
    if draw.random() < 0.5:
        return f"What is the sum of the squares of {a} and {b}?", a * a + b * b
    return f"What is the difference between the squares of {a} and {b}?", a * a - b * b


def _average(draw: Random) -> tuple[str, int]:
    mean, a, b = draw.randint(30, 140), draw.randint(1, 12), draw.randint(13, 25)
    numbers = [mean - a, mean + b, mean - b + a]
    draw.shuffle(numbers)
    return "What is the average of {}, {} and {}?".format(*numbers), mean


def _small(draw: Random) -> tuple[str, int]:
    a, b = draw.randint(11, 99), draw.randint(11, 99)
    if draw.random() < 0.5:
        return _asked(draw, f"{a} + {b}", a + b)
    return _asked(draw, f"{a} * {b}", a * b)


_FORMS = (
    Form(_sum, "1", "addition"),
    Form(_small, "1", "small numbers"),
    Form(_product, "1", "multiplication"),
    Form(_difference, "1", "subtraction"),
    Form(_quotient, "1", "division"),
    Form(_remainder, "1", "remainders"),
    Form(_square, "1", "powers"),
    Form(_one_sign, "1", "large numbers"),
    Form(_chain, "2", "chains"),
    Form(_product_first, "2", "chains"),
    Form(_told, "2", "in words"),
    Form(_larger, "2", "in words"),
    Form(_divisor, "2", "common divisors"),
    Form(_multiple, "2", "common multiples"),
    Form(_times, "2", "in words"),
    Form(_percent, "2", "percentages"),
    Form(_cube, "2", "powers"),
    Form(_bracket_first, "3", "brackets"),
    Form(_two_brackets, "3", "brackets"),
    Form(_within, "3", "brackets"),
    Form(_long, "3", "chains"),
    Form(_remainder_of_product, "3", "remainders"),
    Form(_squares, "3", "powers"),
    Form(_average, "3", "averages"),
)


SUMS = mixed(_FORMS, "1211213121" * 21)  # six in ten are of level 1, one is of level 3
