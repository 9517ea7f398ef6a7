"""Whether two answers are the same, as far as our own rules can tell; everything here is bounded and pure.

``decide`` returns None for what is still open: both are expressions that our own parser has read, but whose values
it cannot compare. Only those are a matter for math-verify, in the LaTeX that our own tree was rendered to.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

from coevolve.grading import values
from coevolve.grading.canonical import MAX_LENGTH, canonical
from coevolve.grading.expression import Expression, latex, variables
from coevolve.grading.forms import form
from coevolve.grading.parser import TooLarge
from coevolve.grading.plain import plain
from coevolve.grading.scalars import Form
from coevolve.grading.verdict import Stage, Verdict

LEAST_DIGITS = 4  # significant digits of a decimal that may stand for an exact value


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer as far as our own rules understand it.

    Args:
        key: its canonical text; None when it is no answer.
        form: what kind of thing it is; None when it is no answer, or too large to be looked into.
    """

    key: str | None
    form: Form | None

    @property
    def latex(self) -> str | None:
        """What math-verify may be asked about: our own rendering of our own tree; None when there is no tree."""
        return latex(self.form.tree) if self.form is not None and self.form.tree is not None else None

    @property
    def class_key(self) -> str | None:
        """Equal for answers that are exactly the same; None when that cannot be told."""
        if self.form is None or self.form.open:
            return None
        return self.form.key + (f" {self.form.unit}" if self.form.unit else "")


def parsed(answer: str) -> Parsed:
    """Read an answer. Raises nothing, whatever the text, and takes a few milliseconds at most."""
    key = canonical(answer)
    if key is None or len(answer) > MAX_LENGTH:
        return Parsed(key, None)
    try:
        return Parsed(key, form(plain(answer)))
    except (TooLarge, RecursionError):
        return Parsed(key, None)


def decide(first: Parsed, second: Parsed) -> Verdict | None:
    """The verdict on two answers, None when our own rules leave it open. Symmetric."""
    if first.key is None or second.key is None:
        return Verdict(False, Stage.MISSING, "a missing answer equals nothing")
    a, b = first.form, second.form
    if first.key == second.key and (a is None or b is None or a.unit == b.unit):
        return Verdict(True, Stage.TEXT, f"both read {first.key!r}")
    if a is None or b is None:
        return Verdict(False, Stage.LIMIT, "one is too long or too deep to be looked into, and the texts differ")
    stage = _stage(a, b)
    if a.unit == b.unit:
        if a.key == b.key:
            return Verdict(True, stage, f"both are {_said(a)}")
        if a.also == b.key or b.also == a.key:
            return Verdict(True, stage, f"both are {_said(b if a.also == b.key else a)}")
    elif a.unit is not None and b.unit is not None:
        return Verdict(False, Stage.UNIT, f"one is in {a.unit}, the other in {b.unit}")
    elif a.key == b.key:
        return Verdict(True, Stage.UNIT, f"the same number; only one has a unit ({a.unit or b.unit})")
    if _rounds(a, b) or _rounds(b, a):
        return Verdict(True, Stage.ROUNDED, "one is the other to the digits given")
    if (a.open or b.open) and a.tree is not None and b.tree is not None and not _apart(a.tree, b.tree):
        return None
    return Verdict(False, stage, f"one is {_said(a)}, the other {_said(b)}")


def weaker(first: Parsed, second: Parsed) -> bool:
    """Of two answers that are the same by stage UNIT or ROUNDED: whether the first lacks the unit or is the decimal."""
    a, b = first.form, second.form
    if a is None or b is None:
        return False
    if a.unit != b.unit:
        return a.unit is None
    return a.decimal is not None and b.decimal is None


def _stage(a: Form, b: Form) -> Stage:
    kinds = {a.kind, b.kind}
    if kinds == {"number"}:
        return Stage.NUMBER
    if kinds <= {"number", "expression"}:
        return Stage.FINGERPRINT
    return Stage.TEXT if kinds <= {"words", "text"} else Stage.FORM


def _said(one: Form) -> str:
    return f"the {one.kind} {one.key.partition(':')[2] or one.key}"


def _apart(first: Expression, second: Expression) -> bool:
    """Whether the leading digits tell two expressions apart."""
    names = variables(first) | variables(second)
    try:
        return values.fingerprint(values.at_points(first, names)) != values.fingerprint(values.at_points(second, names))
    except values.Undecided:
        return False


def _rounds(decimal: Form, other: Form) -> bool:
    """Whether a decimal is the rounding, or the first digits, of a real value without a finite decimal expansion."""
    if decimal.decimal is None or other.decimal is not None or other.tree is None or other.open:
        return False
    written = Decimal(decimal.decimal.replace(" ", ""))
    if len(written.as_tuple().digits) < LEAST_DIGITS or variables(other.tree) or _finite(values.exact(other.tree)):
        return False
    try:
        (value,) = values.at_points(other.tree, frozenset())
    except values.Undecided:
        return False
    digits = values.decimal_digits(value)
    if digits is None:
        return False
    step = Decimal(1).scaleb(int(written.as_tuple().exponent))
    ways = (ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_DOWN)
    return any(digits.quantize(step, rounding=way) == written for way in ways)


def _finite(value: Fraction | None) -> bool:
    """Whether a rational number has a finite decimal expansion."""
    if value is None:
        return False
    bottom = value.denominator
    for prime in (2, 5):
        while bottom % prime == 0:
            bottom //= prime
    return bottom == 1
