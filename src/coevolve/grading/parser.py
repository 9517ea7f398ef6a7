r"""A bounded parser of mathematics as people and models write it: LaTeX, plain text and mixtures.

It parses one expression into a tree or rejects it; only literal numbers are computed. Length and nesting are bounded,
so any text takes at most a few milliseconds."""

from __future__ import annotations

import re
from fractions import Fraction

from coevolve.grading.applied import functions, is_applied
from coevolve.grading.expression import (
    Call,
    Constant,
    Expression,
    Number,
    Power,
    Product,
    Sum,
    Variable,
    children,
    negated,
    quotient,
    structure,
    times,
)
from coevolve.grading.rationals import exact
from coevolve.grading.tokens import (
    FUNCTIONS,
    GREEK,
    MOST_DIGITS,
    NAMED_FUNCTIONS,
    SYMMETRIC,
    Refused,
    TooLarge,
    is_number,
    tokens,
)

MOST_EXPONENT = 400
MOST_DEPTH = 32

_CONSTANTS = {"pi": "pi", "infty": "infinity", "infinity": "infinity", "e": "e", "i": "i"}
_ANGULAR = frozenset(("sin", "cos", "tan", "sec", "csc", "cot"))
_CLOSERS = {
    "(": ")",
    "[": "]",
    "{": "}",
    r"\{": r"\}",
    r"\lfloor": r"\rfloor",
    r"\lceil": r"\rceil",
    "|": "|",
    r"\|": r"\|",
}
_FENCES = {r"\lfloor": "floor", r"\lceil": "ceil", "|": "abs", r"\|": "abs"}
_ACCENTS = frozenset(("bar", "hat", "tilde", "dot", "overline"))
_NO_FACTOR = frozenset(
    [*"+-*/^_!),]}%'", r"\}", r"\rfloor", r"\rceil", r"\cdot", r"\times", r"\over", r"\choose", r"\degree"]
)
_INVERSE = (("^", "{", "-", "1", "}", "("), ("^", "-", "1", "("))
_DEGREE = Product((Constant("pi"), Number(Fraction(1, 180))))
_HALF = Number(Fraction(1, 2))


def parse(text: str) -> Expression:
    """The tree of a text that ``plain`` has produced.

    Raises:
        Refused: it is not an expression that we know; TooLarge, a subclass, when it exceeds the bounds."""
    parser = _Parser(tokens(text))
    tree = parser.expression()
    if parser.peek():
        raise Refused(f"{parser.peek()!r} is not expected here")
    return tree


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, given: list[str]) -> None:
        self._tokens, self._at, self._depth = given, 0, 0
        self._bars = False  # the next | closes
        self._functions: frozenset[str] | None = None  # letters that are functions somewhere

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
        self._deeper()
        terms = [self._term()]
        while self.peek() in ("+", "-"):
            sign, term = self._take(), self._term()
            terms.append(term if sign == "+" else negated(term))
        self._depth -= 1
        tree = terms[0] if len(terms) == 1 else Sum(tuple(terms))
        if self.peek() == r"\over":
            self._take()
            return quotient(tree, self.expression())
        if self.peek() == r"\choose":
            self._take()
            return Call("binomial", (tree, self.expression()))
        return tree

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise TooLarge(f"nested more than {MOST_DEPTH} deep")

    def _term(self) -> Expression:
        if self.peek() in ("+", "-"):
            self._deeper()
            sign, term = self._take(), self._term()
            self._depth -= 1
            return term if sign == "+" else negated(term)
        product = self._factor()
        while True:
            token = self.peek()
            if token in ("*", r"\cdot", r"\times"):
                self._take()
                product = times(product, self._signed())
            elif token == "/":
                self._take()
                product = quotient(product, self._signed())
            elif self._starts_factor(token):
                if is_number(token) and is_number(self.peek(-1)) and not self._is_power_beside():
                    raise Refused("two numbers side by side")
                product = times(product, self._factor())
            else:
                return product

    def _is_power_beside(self) -> bool:
        """Whether one of two numbers side by side is part of a power, as in ``2^6 3^5``; ``2 3`` is no product."""
        before = self.peek(-2) if self.peek(-2) not in ("-", "+") else self.peek(-3)
        return before == "^" or self.peek(1) == "^"

    def _signed(self) -> Expression:
        if self.peek() in ("-", "+"):
            sign, factor = self._take(), self._factor()
            return negated(factor) if sign == "-" else factor
        return self._factor()

    def _starts_factor(self, token: str) -> bool:
        return bool(token) and token not in _NO_FACTOR and not (token in ("|", r"\|") and self._bars)

    def _factor(self) -> Expression:
        base = self._postfix(self._primary())
        if self.peek() == "^":
            self._take()
            base = Power(base, self._exponent())
        return self._postfix(base)

    def _exponent(self) -> Expression:
        self._deeper()
        if self.peek() == "{":
            tree = self._group()
        elif self.peek() in ("-", "+"):
            sign, exponent = self._take(), self._exponent()
            tree = negated(exponent) if sign == "-" else exponent
        else:
            tree = self._postfix(self._primary())
            if self.peek() == "^":
                self._take()
                tree = Power(tree, self._exponent())
        self._depth -= 1
        return tree

    def _postfix(self, tree: Expression) -> Expression:
        while self.peek() in ("!", "%", r"\degree"):
            token = self._take()
            if token == "!":
                if self.peek() == "!":
                    raise Refused("double factorials are not known")
                tree = Call("factorial", (tree,))
            else:
                tree = times(tree, Number(Fraction(1, 100)) if token == "%" else _DEGREE)
            if _height(tree) > 3 * MOST_DEPTH:
                raise TooLarge("too many signs behind a number")
        return tree

    def _group(self) -> Expression:
        """The content of brackets of any kind, bars included."""
        opener = self._take()
        bars, self._bars = self._bars, _FENCES.get(opener) == "abs"
        tree = self.expression()
        self._bars = bars
        self._expect(_CLOSERS[opener])
        return Call(_FENCES[opener], (tree,)) if opener in _FENCES else tree

    def _primary(self) -> Expression:
        token = self.peek()
        if token in _CLOSERS:
            return self._group()
        self._take()
        if is_number(token):
            return self._number(token)
        if token.startswith("\\"):
            return self._command(token[1:])
        if token.isalpha():
            return Constant(token) if token in ("e", "i") and self.peek() != "_" else self._variable(token)
        raise Refused(f"{token!r} is not expected here")

    def _number(self, token: str) -> Expression:
        digits, _, exponent = token.lower().partition("e")
        whole, _, part = digits.partition(".")
        if len(whole + part) > MOST_DIGITS or abs(int(exponent or 0)) > MOST_EXPONENT:
            raise TooLarge("a number of too many digits")
        value = Fraction(int(whole + part or "0")) * Fraction(10) ** (int(exponent or 0) - len(part))
        if self.peek() == "_":
            raise Refused("a number in another base")
        if "." in token and not exponent and self.peek() in (r"\overline", r"\bar", r"\dot"):
            return self._repeating(value, len(part))
        period = self._tokens[self._at : self._at + 4]
        bracketed = len(period) > 2 and period[0] == "(" and period[1].isdigit() and period[2] == ")"
        if "." in token and not exponent and bracketed and period[3:] not in (["^"], ["("]):
            self._at += 3  # 0.(3)
            return Number(value + Fraction(int(period[1]), (10 ** len(period[1]) - 1) * 10 ** len(part)))
        return Number(value) if "." in token or exponent else self._mixed(value)

    def _repeating(self, value: Fraction, places: int) -> Expression:
        self._take()
        braced = self.peek() == "{"
        period = self._tokens[self._at + braced] if self._at + braced < len(self._tokens) else ""
        if not period.isdigit() or len(period) > MOST_DIGITS or (not braced and len(period) > 1):
            raise Refused("a period of other than digits")
        self._at += 1 + braced
        if braced:
            self._expect("}")
        return Number(value + Fraction(int(period), (10 ** len(period) - 1) * 10**places))

    def _mixed(self, whole: Fraction) -> Expression:
        r"""A whole number with the proper fraction that follows it: ``2\frac{1}{3}``, ``2 1/3``."""
        start, rest = self._at, [self.peek(ahead) for ahead in range(4)]
        if rest[0] == r"\frac" and self.peek(-2) != "^":
            self._take()
            top, bottom = self._argument(short=True), self._argument(short=True)
            if isinstance(top, Number) and isinstance(bottom, Number) and 0 < top.value < bottom.value:
                whole_parts = top.value.denominator == bottom.value.denominator == 1
                if whole_parts and self.peek() != "^":
                    return Number(whole + top.value / bottom.value)
        slashed = rest[0].isdigit() and rest[1] == "/" and rest[2].isdigit() and rest[3] != "^"
        if slashed and 0 < int(rest[0]) < int(rest[2]):
            self._at = start + 3
            return Number(whole + Fraction(int(rest[0]), int(rest[2])))
        self._at = start
        return Number(whole)

    def _argument(self, *, short: bool = False) -> Expression:
        r"""The argument of a command: a group or one symbol; with ``short`` a single digit, as in ``\frac12``."""
        token = self.peek()
        if short and token.isdigit() and len(token) > 1:
            self._tokens[self._at : self._at + 1] = [token[0], token[1:]]
        if is_number(token):
            return Number(Fraction(self._take())) if "e" not in token.lower() else self._primary()
        if token == "-":
            return self._signed()
        self._deeper()
        tree = self._primary()
        self._depth -= 1
        return tree

    def _command(self, name: str) -> Expression:
        if name == "frac":
            return quotient(self._argument(short=True), self._argument(short=True))
        if name == "binom":
            return Call("binomial", (self._argument(short=True), self._argument(short=True)))
        if name == "sqrt":
            return self._root()
        if name == "unit":
            return self._primary()
        if name in FUNCTIONS:
            return self._function(FUNCTIONS[name], name)
        if name in _CONSTANTS:
            return Constant(_CONSTANTS[name])
        if name in GREEK:
            return self._variable("\\" + name)
        if name in NAMED_FUNCTIONS and self.peek() in ("(", "["):
            return self._application(name)
        if name in SYMMETRIC and self.peek() in ("(", r"\{"):
            return self._of_several(name)
        if name in _ACCENTS:
            tree = self._argument(short=True)
            if isinstance(tree, Variable):
                return Variable(rf"\{name}{{{tree.name}}}")
        raise Refused(f"\\{name} is not known")

    def _of_several(self, name: str) -> Expression:
        """A function whose arguments may stand in any order."""
        opener, bars = self._take(), self._bars
        self._bars = False
        arguments = [self.expression()]
        while self.peek() == ",":
            self._take()
            arguments.append(self.expression())
        self._bars = bars
        self._expect(_CLOSERS[opener])
        if len(arguments) < 2:
            raise Refused(f"{name} of one argument")
        return Call(name, tuple(sorted(arguments, key=structure)))

    def _root(self) -> Expression:
        degree: Expression | None = None
        if self.peek() == "[":
            degree = self._group()
        elif self.peek() == "^":
            raise Refused("a power of a root sign")
        argument = self._argument()
        return Power(argument, quotient(Number(Fraction(1)), degree) if degree is not None else _HALF)

    def _function(self, function: str, name: str) -> Expression:
        power: Expression | None = None
        base: Expression | None = None
        while self.peek() in ("^", "_"):
            if self._take() == "^":
                power = self._exponent()
            else:
                base = self._argument(short=True)
        if base is not None and function not in ("ln", "lg"):
            raise Refused(f"{name} has no base")
        argument = self._applied()
        if function in _ANGULAR and power == Number(Fraction(-1)):
            function, power = "arc" + function, None
        if function == "lg" and base is None:
            base = Number(Fraction(10))
        tree: Expression = Call(function, (argument,))
        if function == "exp":
            tree = Power(Constant("e"), argument)
        elif base is not None:
            tree = Call("log", (argument, base))
        return Power(tree, power) if power is not None else tree

    def _applied(self) -> Expression:
        """The argument of a function: a group, or the factors up to the next sign or function."""
        self._deeper()
        if self.peek() in ("(", "{", "["):
            tree = self._group()
        else:
            tree = self._signed()
            while (
                self._starts_factor(self.peek()) and self.peek()[1:] not in FUNCTIONS and self.peek() not in ("(", "[")
            ):
                tree = times(tree, self._factor())
            pi_over_number = tree == Constant("pi") or (isinstance(tree, Product) and Constant("pi") in tree.factors)
            if self.peek() == "/" and pi_over_number and is_number(self.peek(1)):
                self._take()
                tree = quotient(tree, self._factor())
        self._depth -= 1
        return tree

    def _variable(self, letter: str) -> Expression:
        name, start = letter, self._at - 1
        inverse = next((sign for sign in _INVERSE if letter in "fghFG" and self._follows(sign)), None)
        if inverse:
            self._at += len(inverse) - 1
            return self._application(f"{letter}^{{-1}}")
        if self.peek() == "_":
            self._take()
            inside = [self._take()]
            if inside[0] == "{":
                while inside[-1] != "}":
                    inside.append(self._take())
                inside = inside[1:-1]
            subscript = "".join(inside)
            if not re.fullmatch(r"[0-9A-Za-z]+|\\[A-Za-z]+", subscript):
                raise Refused("a subscript of other than letters and digits")
            name += f"_{{{subscript}}}"
        while self.peek() == "'":
            name += self._take()
        if self.peek() in ("(", "[") and self._applies(start):
            return self._application(name)
        return Variable(name)

    def _applies(self, start: int) -> bool:
        """Whether the letter that was read is a function of the group that comes next."""
        if is_applied(self._tokens, start, self._at):
            return True
        if self._functions is None:
            self._functions = functions(self._tokens)
        return self.peek() == "(" and self._tokens[start] in self._functions

    def _follows(self, expected: tuple[str, ...]) -> bool:
        return tuple(self._tokens[self._at : self._at + len(expected)]) == expected

    def _application(self, function: str) -> Expression:
        r"""The value of an unknown function, as a name of its own; ``\Gamma(x)`` is ``(x-1)!``."""
        argument = self._group()
        if function == r"\Gamma":
            return Call("factorial", (Sum((argument, Number(Fraction(-1)))),))
        value = exact(argument)
        return Variable(f"{function}({structure(argument) if value is None else value})")


def _height(tree: Expression) -> int:
    """The depth of a tree along its first parts."""
    height = 0
    while parts := children(tree):
        tree, height = parts[0], height + 1
    return height
