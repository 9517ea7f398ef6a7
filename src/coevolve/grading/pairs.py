"""Whether two answers are the same, as far as our own rules can decide; everything here is bounded and pure.

``decide`` returns None for what is left open: two expressions that are too large for our own arithmetic. Only those go
to math-verify, as LaTeX rendered from our own tree."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from coevolve.grading import values
from coevolve.grading.approximate import Way, standing
from coevolve.grading.bends import differ
from coevolve.grading.canonical import canonical
from coevolve.grading.forms import form
from coevolve.grading.plain import plain
from coevolve.grading.residues import residues
from coevolve.grading.scalars import Form, rendered
from coevolve.grading.tokens import Refused
from coevolve.grading.verdict import Stage, Verdict

MOST_LETTERS = 1000  # longest answer that is parsed


@dataclass(frozen=True, slots=True)
class Parsed:
    """What is known about one answer.

    Args:
        key: the canonical key, None for a missing answer.
        form: its form; None for a missing answer, and for one too long to be parsed."""

    key: str | None
    form: Form | None

    @property
    def class_key(self) -> str | None:
        """Answers with equal class keys are exactly the same; None when the answer has none.

        An expression that follows different rules in different places has none: what is the same as it depends on the
        numbers that occur in both."""
        if self.form is None or _holds_bend(self.form):
            return None
        return self.form.key

    @property
    def kind(self) -> str | None:
        """The kind of its form, None when it has none."""
        return self.form.kind if self.form is not None else None

    @property
    def latex(self) -> str | None:
        """The answer as LaTeX for math-verify, rendered from our own tree; None when it must not be asked."""
        return rendered(self.form) if self.form is not None else None


def parsed(answer: str) -> Parsed:
    """Read one answer. Raises nothing, whatever the text, and takes a few milliseconds."""
    key = canonical(answer)
    if key is None or len(answer) > MOST_LETTERS:
        return Parsed(key, None)
    try:
        return Parsed(key, form(plain(answer)))
    except Refused:
        return Parsed(key, None)


def decide(first: Parsed, second: Parsed) -> Verdict | None:
    """The verdict of our own rules, None when they leave the pair open. Symmetric."""
    if first.key is None or second.key is None:
        return Verdict(False, Stage.MISSING, "a missing answer equals nothing")
    a, b = first.form, second.form
    if a is None or b is None:
        same = first.key == second.key
        why = f"one is too long or too deep to be looked into, and the texts are {'the same' if same else 'different'}"
        return Verdict(same, Stage.TEXT if same else Stage.LIMIT, why)
    stage = Stage.LIMIT if a.bounded or b.bounded else _stage(a, b)
    if a.key == b.key and first.key != second.key and _differ_elsewhere(a, b):
        return Verdict(
            False, stage, f"the {a.kind} {min(a.shown, b.shown)} is not the {b.kind} {max(a.shown, b.shown)}"
        )
    if a.key == b.key:
        return Verdict(True, stage, f"both are the {a.kind} {min(a.shown, b.shown)}")
    if first.key == second.key and a.unit == b.unit:
        return Verdict(True, Stage.TEXT, "both have the same canonical text")
    if a.unit and b.unit and a.unit != b.unit:
        return Verdict(False, Stage.UNIT, " and ".join(sorted((a.unit, b.unit))) + " are different units")
    if a.unit != b.unit and (a.bare or a.key) == (b.bare or b.key):
        return Verdict(True, Stage.UNIT, f"the same number, and only one has a unit ({a.unit or b.unit})")
    if (b.key == a.alias or a.key == b.alias) and not (a.named and b.named):
        return Verdict(True, Stage.UNIT, "the same, and only one has names")
    if standing(a, b):
        return Verdict(True, Stage.ROUNDED, "one is the other to the digits given")
    large = _by_residues(a, b) if a.bounded or b.bounded else None
    if large is not None:
        return large
    if a.bounded and b.bounded:
        return None
    if _agree_where_real(a, b) and not _differ_elsewhere(a, b):
        return Verdict(True, Stage.DOMAIN, "they agree wherever both have real values")
    one, other = sorted((a, b), key=lambda form: (form.shown, form.key))
    return Verdict(False, stage, f"the {one.kind} {one.shown} is not the {other.kind} {other.shown}")


def effort(first: Parsed, second: Parsed) -> int:
    """The letters of two answers that have to be compared in many places, 0 for others: a few hundred microseconds
    each."""
    a, b = first.form, second.form
    if a is None or b is None or a.tree is None or b.tree is None or a.tree == b.tree:
        return 0
    if not (values.bent(a.tree) or values.bent(b.tree)) or not (a.key == b.key or _agree_where_real(a, b)):
        return 0
    return len(first.key or "") + len(second.key or "")


def weaker(first: Parsed, second: Parsed) -> bool:
    """Of two answers that are the same over a bridge (UNIT, ROUNDED, DOMAIN): whether the first carries less
    information.
    """
    a, b = first.form, second.form
    if a is None or b is None:
        return False
    if (a.bare or a.key) == (b.bare or b.key):
        return a.unit is None and b.unit is not None
    if b.alias == a.key:
        return True
    found = standing(a, b)
    if found is not None:
        return found.way is Way.FIRST
    return _undefined(a) > _undefined(b)


def distance(first: Parsed, second: Parsed) -> Fraction | None:
    """How far apart two answers are that are the same to the precision of floats; None for any others."""
    a, b = first.form, second.form
    found = standing(a, b) if a is not None and b is not None else None
    return found.distance if found is not None else None


def _undefined(form: Form) -> int:
    return form.numbers.keys.count(values.UNDEFINED) if form.numbers is not None else 0


def _stage(a: Form, b: Form) -> Stage:
    kinds = {a.kind, b.kind}
    if kinds <= {"number", "quantity"}:
        return Stage.NUMBER
    if kinds <= {"number", "quantity", "expression"}:
        return Stage.FINGERPRINT
    return Stage.TEXT if kinds <= {"words", "text"} else Stage.FORM


def _by_residues(a: Form, b: Form) -> Verdict | None:
    """Whether two expressions, of which one at least is too large to be computed, agree modulo large primes."""
    if a.tree is None or b.tree is None or a.unit or b.unit:
        return None
    first, second = residues(a.tree), residues(b.tree)
    if first is None or second is None:
        return None
    return Verdict(
        first == second, Stage.FINGERPRINT, f"they have {'the same' if first == second else 'different'} remainders"
    )


def _differ_elsewhere(a: Form, b: Form) -> bool:
    """Whether expressions that agree at the fixed points do not between the numbers that occur in them.

    Also those inside of structures with equal keys, whose parts are in the same order."""
    if a.parts and len(a.parts) == len(b.parts):
        return any(map(_differ_elsewhere, a.parts, b.parts))
    return a.tree is not None and b.tree is not None and a.tree != b.tree and differ(a.tree, b.tree)


def _holds_bend(form: Form) -> bool:
    return (form.tree is not None and values.bent(form.tree)) or any(map(_holds_bend, form.parts))


def _agree_where_real(a: Form, b: Form) -> bool:
    r"""Whether two expressions agree wherever both have values.

    One that has values in more places because of an absolute value has to agree wherever all names are positive, and
    because of an even power where they are large: ``\ln|x|`` may stand for ``\ln x``, ``\ln (x-3)^2`` for
    ``2\ln(x-3)``, but neither ``\ln|x-3|`` nor ``\ln(x-3)^2`` for what is defined below 3 only."""
    if a.numbers is None or b.numbers is None or a.unit or b.unit:
        return False
    if len(a.numbers.keys) == len(b.numbers.keys) == 1:
        return False
    first, second = a.numbers.at_points(), b.numbers.at_points()
    common = [values.UNDEFINED not in pair for pair in zip(first, second, strict=True)]
    if not any(common) or any(both and x != y for both, x, y in zip(common, first, second, strict=True)):
        return False
    wider = a if first.count(values.UNDEFINED) < second.count(values.UNDEFINED) else b
    if wider.tree is None or not values.folds(wider.tree):
        return wider.tree is not None
    return common[-1] and (common[0] or not values.holds_abs(wider.tree))
