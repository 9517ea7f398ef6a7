r"""A bounded parser of mathematics as people and models write it: LaTeX, plain text and mixtures.

It reads one expression into a tree or refuses; it evaluates nothing. Length, nesting and the number of nodes are
bounded, so any text is done with in a few milliseconds.
"""

from __future__ import annotations

import re
from fractions import Fraction

from coevolve.grading.expression import (
    Call,
    Constant,
    Expression,
    Number,
    Power,
    Product,
    Sum,
    Variable,
    negated,
    quotient,
)

MOST_DIGITS = 64
MOST_EXPONENT = 400
MOST_DEPTH = 32
MOST_TOKENS = 300

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3}(?![0-9A-Za-z.]))?)|"
    r"(?P<command>\\[A-Za-z]+|\\[{}|])|(?P<name>[A-Za-z]+)|(?P<power>\*\*)|(?P<sign>[-+*/^_!|(){}\[\],%']))"
)
_GREEK = frozenset(
    (
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota",
        "kappa", "lambda", "mu", "nu", "xi",
        "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi",
        "Sigma", "Phi", "Psi", "Omega", "ell", "hbar",
    )
)  # fmt: skip
_FUNCTIONS = {
    name: name
    for name in (
        "sin", "cos", "tan", "sec", "csc", "cot", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "exp",
        "abs", "floor", "ceil", "sqrt", "factorial",
    )
} | {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "log": "ln", "lg": "ln", "ceiling": "ceil"}  # fmt: skip
_CONSTANTS = {"pi": "pi", "e": "e", "i": "i"} | dict.fromkeys(("infty", "infinity", "inf", "oo"), "infinity")
_ANGULAR = frozenset(("sin", "cos", "tan", "sec", "csc", "cot"))
_FENCES = {r"\lfloor": (r"\rfloor", "floor"), r"\lceil": (r"\rceil", "ceil"), r"\|": (r"\|", "abs"), "|": ("|", "abs")}
_ONE = Number(Fraction(1))


class Refused(Exception):
    """The text is no expression that this parser knows."""


class TooLarge(Refused):
    """The text goes beyond the bounds."""


def parse(text: str) -> Expression:
    """The tree of a text in the form of :func:`coevolve.grading.plain.plain`.

    Raises:
        Refused: it is no expression; its subclass TooLarge if a bound was met.
    """
    parser = _Parser(_tokens(text))
    tree = parser.expression()
    if parser.peek():
        raise Refused(f"{parser.peek()!r} is not expected here")
    return tree


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise Refused(f"{text[position]!r} is no mathematics")
        name = match["name"]
        if name:
            tokens += _letters(name)
        else:
            tokens.append("^" if match["power"] else match[0].strip())
        position = match.end()
        if len(tokens) > MOST_TOKENS:
            raise TooLarge(f"more than {MOST_TOKENS} symbols")
    return tokens


def _letters(name: str) -> list[str]:
    """A function or constant written as a word, else a product of single letters."""
    if name in _FUNCTIONS or (name in _CONSTANTS and len(name) > 1) or name in _GREEK:
        return ["\\" + name]
    if len(name) > 3:
        raise Refused(f"{name!r} is a word")
    return list(name)


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._at, self._depth = tokens, 0, 0
        self._bars = 0  # open |: the next one closes

    def peek(self, ahead: int = 0) -> str:
        index = self._at + ahead
        return self._tokens[index] if index < len(self._tokens) else ""

    def _take(self) -> str:
        token = self.peek()
        if not token:
            raise Refused("it ends too early")
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise Refused(f"{token!r} is missing")

    def expression(self) -> Expression:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise TooLarge(f"nested more than {MOST_DEPTH} deep")
        terms = [self._term()]
        while self.peek() in ("+", "-"):
            sign = self._take()
            term = self._term()
            terms.append(term if sign == "+" else negated(term))
        self._depth -= 1
        return terms[0] if len(terms) == 1 else Sum(tuple(terms))

    def _term(self) -> Expression:
        if self.peek() in ("+", "-"):
            sign = self._take()
            self._depth += 1
            if self._depth > MOST_DEPTH:
                raise TooLarge("too many signs")
            term = self._term()
            self._depth -= 1
            return term if sign == "+" else negated(term)
        product = self._factor()
        while True:
            token = self.peek()
            if token in ("*", r"\cdot", r"\times"):
                self._take()
                product = _times(product, self._signed())
            elif token == "/":
                self._take()
                product = quotient(product, self._signed())
            elif self._starts_factor(token):
                if _is_literal(token) and isinstance(product, Number):
                    raise Refused("two numbers side by side")
                product = _times(product, self._factor())
            else:
                return product

    def _signed(self) -> Expression:
        if self.peek() in ("-", "+"):
            sign = self._take()
            factor = self._factor()
            return negated(factor) if sign == "-" else factor
        return self._factor()

    def _starts_factor(self, token: str) -> bool:
        if not token or token in r"+-*/^_!),]}%'" or token in (r"\}", r"\rfloor", r"\rceil"):
            return False
        if token in ("|", r"\|"):
            return self._bars == 0
        return True

    def _factor(self) -> Expression:
        base = self._postfix()
        if self.peek() == "^":
            self._take()
            if self.peek() == r"\circ":
                self._take()
                return _times(base, quotient(Constant("pi"), Number(Fraction(180))))
            if self.peek() == "{" and self.peek(1) == r"\circ" and self.peek(2) == "}":
                self._at += 3
                return _times(base, quotient(Constant("pi"), Number(Fraction(180))))
            return Power(base, self._exponent())
        return base

    def _exponent(self) -> Expression:
        if self.peek() == "{":
            return self._braced()
        if self.peek() in ("-", "+"):
            sign = self._take()
            exponent = self._exponent()
            return negated(exponent) if sign == "-" else exponent
        base = self._postfix()
        if self.peek() == "^":
            self._take()
            return Power(base, self._exponent())
        return base

    def _postfix(self) -> Expression:
        tree = self._primary()
        while self.peek() == "!":
            self._take()
            if self.peek() == "!":
                raise Refused("double factorials are not known")
            tree = Call("factorial", (tree,))
        return tree

    def _braced(self) -> Expression:
        self._expect("{")
        tree = self.expression()
        self._expect("}")
        return tree

    def _primary(self) -> Expression:
        token = self._take()
        if _is_literal(token):
            return self._number(token)
        if token in ("(", "[", "{"):
            tree = self.expression()
            self._expect({"(": ")", "[": "]", "{": "}"}[token])
            return tree
        if token in _FENCES:
            return self._fenced(token)
        if token.startswith("\\"):
            return self._command(token[1:])
        if token.isalpha():
            return self._variable(token)
        raise Refused(f"{token!r} is not expected here")

    def _fenced(self, token: str) -> Expression:
        end, function = _FENCES[token]
        bars, self._bars = self._bars, 1 if function == "abs" else 0
        tree = self.expression()
        self._bars = bars
        self._expect(end)
        return Call(function, (tree,))

    def _number(self, token: str) -> Expression:
        digits, _, exponent = token.lower().partition("e")
        whole, _, part = digits.partition(".")
        if len(whole + part) > MOST_DIGITS or abs(int(exponent or 0)) > MOST_EXPONENT:
            raise TooLarge("a number of too many digits")
        value = Fraction(int(whole + part or 0)) * Fraction(10) ** (int(exponent or 0) - len(part))
        if self.peek() == r"\overline" and "." in token and not exponent:
            return self._repeating(value, len(part))
        if self.peek() == "_":
            raise Refused("a number in another base")
        if "." not in token and not exponent:
            return self._mixed(value)
        return Number(value)

    def _repeating(self, value: Fraction, places: int) -> Expression:
        self._take()
        self._expect("{")
        period = self._take()
        self._expect("}")
        if not period.isdigit() or len(period) > MOST_DIGITS:
            raise Refused("a period of other than digits")
        return Number(value + Fraction(int(period), (10 ** len(period) - 1) * 10**places))

    def _mixed(self, whole: Fraction) -> Expression:
        r"""A whole number, with the proper fraction that follows it: ``2\frac{1}{3}``, ``2 1/3``."""
        start = self._at
        if self.peek() == r"\frac":
            self._take()
            fraction = self._fraction()
            if isinstance(fraction, Number) and 0 < fraction.value < 1 and self.peek() != "^":
                return Number(whole + fraction.value)
        elif self.peek().isdigit() and self.peek(1) == "/" and self.peek(2).isdigit() and self.peek(3) != "^":
            top, bottom = int(self.peek()[:MOST_DIGITS]), int(self.peek(2)[:MOST_DIGITS])
            if 0 < top < bottom:
                self._at += 3
                return Number(whole + Fraction(top, bottom))
        self._at = start
        return Number(whole)

    def _argument(self) -> Expression:
        r"""What a command without separators takes: a group, or one digit or letter (``\frac12``)."""
        token = self.peek()
        if token == "{":
            return self._braced()
        if _is_literal(token) and len(token) > 1 and token.isdigit():
            self._tokens[self._at : self._at + 1] = [token[0], token[1:]]
        return self._primary() if not _is_literal(self.peek()) else Number(Fraction(self._take()))

    def _fraction(self) -> Expression:
        return quotient(self._argument(), self._argument())

    def _command(self, name: str) -> Expression:
        if name == "frac":
            return self._fraction()
        if name == "binom":
            return Call("binomial", (self._argument(), self._argument()))
        if name == "sqrt":
            return self._root()
        if name in _FUNCTIONS:
            return self._function(_FUNCTIONS[name], name)
        if name in _CONSTANTS:
            return Constant(_CONSTANTS[name])
        if name in _GREEK:
            return self._variable("\\" + name)
        raise Refused(f"\\{name} is not known")

    def _root(self) -> Expression:
        degree: Expression = Number(Fraction(2))
        if self.peek() == "[":
            self._take()
            degree = self.expression()
            self._expect("]")
        return Power(self._argument(), quotient(_ONE, degree))

    def _function(self, function: str, name: str) -> Expression:
        power, base = None, None
        while self.peek() in ("^", "_"):
            if self._take() == "^":
                power = self._exponent()
            else:
                base = self._argument()
        argument = self._applied()
        if function in _ANGULAR and power == Number(Fraction(-1)):
            function, power = "arc" + function, None
        if base is not None:
            if name != "log":
                raise Refused(f"\\{name} has no base")
            tree: Expression = Call("log", (argument, base))
        elif function == "sqrt":
            tree = Power(argument, Number(Fraction(1, 2)))
        else:
            tree = Call(function, (argument,))
        return Power(tree, power) if power is not None else tree

    def _applied(self) -> Expression:
        """The argument of a function: a group, or the factors up to the next sign or function."""
        if self.peek() in ("(", "{", "["):
            return self._primary()
        product = self._signed()
        while self._starts_factor(self.peek()) and self.peek() not in ("(", "[") and self.peek()[1:] not in _FUNCTIONS:
            product = _times(product, self._factor())
        if self.peek() == "/" and isinstance(product, (Number, Constant, Product)) and _is_literal(self.peek(1)):
            self._take()
            product = quotient(product, self._factor())
        return product

    def _variable(self, letter: str) -> Expression:
        if self.peek() == "_":
            self._take()
            if self.peek() == "{":
                self._take()
                parts = []
                while self.peek() not in ("}", ""):
                    parts.append(self._take())
                self._expect("}")
                subscript = "".join(parts)
            else:
                subscript = self._take()
            if not subscript.isalnum():
                raise Refused("a subscript of other than letters and digits")
            return Variable(f"{letter}_{{{subscript}}}")
        if letter in ("f", "g", "h") and self.peek() == "(":
            raise Refused("an unknown function")
        if self.peek() == "'":
            raise Refused("a derivative")
        return Constant(letter) if letter in ("e", "i") else Variable(letter)


def _is_literal(token: str) -> bool:
    return token[:1].isdigit() or token[:1] == "."


def _times(first: Expression, second: Expression) -> Expression:
    return Product((*first.factors, second)) if isinstance(first, Product) else Product((first, second))
