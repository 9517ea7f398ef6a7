"""Word problems whose every sentence fits a pattern: groups, sharing, speeds, prices, parts, ages, rates.

A sentence that fits no pattern, or a thing that is called differently in the question: then nothing is said of the
problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction

from coevolve.worlds.open.exact.changes import change
from coevolve.worlds.open.exact.expressions import Unreadable
from coevolve.worlds.open.exact.measures import SIZES
from coevolve.worlds.open.exact.words import numbers_of, one_thing, pattern

Rule = Callable[..., Fraction]


def story(text: str) -> Fraction:
    """The answer to a word problem.

    Raises:
        Unreadable: it fits no pattern, or several with different answers.
    """
    text = re.sub(r"[?.! ]+$", "", text).replace(" ,", ",")
    found = {*_answers(text), *change(text)}
    if len(found) != 1:
        raise Unreadable("no pattern" if not found else "more than one reading")
    return found.pop()


def _quotient(a: Fraction, b: Fraction) -> Fraction:
    if not b or (a / b).denominator != 1:
        raise Unreadable("it does not come out even")
    return a / b


def _change(n: Fraction, price: Fraction, paid: Fraction) -> Fraction:
    return _rest(paid, n * price)


def _rest(whole: Fraction, part: Fraction) -> Fraction:
    if part > whole:
        raise Unreadable("more than there are")
    return whole - part


_TOTAL = r"(?: (?:in total|in all|altogether|total|together))?"
_MANY = rf"""how many (?P<t3>T) (?:are there|are in all|does (?:the )?S have|do they have|did S (?:buy|have)|will S
have|
are there in the W|are in the W){_TOTAL}"""
_GROUPS = r"(?:there are|S has|S buys|S bought|an? W has) N (?P<g>W)"
_EACH = r"(?:(?: in)? each(?: W)?|(?: in)? every W|per W)"
_UNIT = "miles|kilometers|km|kilometres"
_PER_HOUR = rf"(?:(?P<u1>{_UNIT}) (?:per|an|each) hour|(?P<u2>mph|km/h))"
_MOVES = r"""(?:if )?(?:an? |the )?(?:W )?W (?:travels|drives|moves|runs|flies|goes|walks|rides|is traveling|is moving|
travelled|traveled|drove|ran|flew|walked)"""
_MOVE = "(?:travel|go|drive|walk|run|fly|cover|move)"
_AT = r"(?: at)?(?: an?)?(?: constant| steady| average)?(?: speed| rate)?(?: of| at)?"
_GETS = r"(?:will|does|do|can|would) (?:each|every|1)(?: of them| W| 1)? (?:get|receive|have|be given)"
_PRICE = "N (?P<u1>dollars|cents)"
_COSTS = "(?:do|does|will|would)"
_BUYS = r"S (?:buys|bought) N (?P<t>T) (?:for|at|that cost|which cost|costing)"
_DAYS = "days|hours|weeks|months|minutes"
_VERB = "(?:travel|read|run|earn|save|drink|walk|make|bake|sell|type|write|eat|produce|use|plant|paint|solve)"
_VERBS = _VERB.replace("|", "s|").replace(")", "s)")

_PROBLEMS: tuple[tuple[re.Pattern[str], Rule], ...] = tuple(
    (pattern(words), rule)
    for words, rule in (
        # groups
        (rf"{_GROUPS} (?:of|with|containing) N (?P<t>T){_EACH}[.,] {_MANY}", lambda a, b: a * b),
        (rf"""{_GROUPS}(?:,|\.|,? and)? each(?: of (?:them|the W)| W)? (?:with|containing|has|contains|holds|having)
         N (?P<t>T)(?:{_EACH})?[.,] {_MANY}""", lambda a, b: a * b),
        (rf"{_GROUPS}(?:,|\.|,? and) there are N (?P<t>T){_EACH}[.,] {_MANY}", lambda a, b: a * b),
        (rf"""(?:if )?(?:an?|1|each|every) (?P<g>W) (?:of W )?(?:contains|holds|has) N (?P<t>T)[,.] how many (?P<t3>T)
         (?:are there |are |do |will be |will )?(?:in )?N (?P<g2>W)(?: contain| hold| have)?{_TOTAL}""", lambda a, b:
          a * b),
        (rf"""{_GROUPS} (?:of|with) N (?P<t>T)(?: each)?[.,] (?:W )?(?:W )?
         (?:kills|kill|eats|eat|sells|picks|destroys|removes) N (?:of them|of the (?P<t2>T)|(?P<t4>T))[.,]
         how many (?P<t3>T) (?:are left|remain|are there now)""",
         lambda rows, each, gone: _rest(rows * each, gone)),
        # passengers
        (r"""an? (?P<g>W) (?:leaves|starts|sets off) with N (?P<t>people|passengers|children)[.,]
         at the (?:first|next) (?:stop|station) N (?:of them |people |passengers |children )?get off
         and N (?:more |other )?
         (?:people |passengers |children )?get on[.,]
         how many (?P<t3>people|passengers|children) are (?:now )?on the (?P<g2>W)(?: now| then)?""",
         lambda start, off, on: _rest(start, off) + on),
        # sharing
        (rf"""S has N (?P<t>T)[.,] S keeps N(?: (?P<t4>T))? (?:for (?:himself|herself) )?and
         (?:shares|divides|splits) the (?:rest|others) (?:equally|evenly) (?:among|between) (?:his |her )?N (?P<g>W)[.,]
         how many (?P<t3>T) {_GETS}""",
         lambda have, keeps, n: _quotient(_rest(have, keeps), n)),
        (rf"""S (?:has|have|had|baked|picked|bought|buys) N (?P<t>T)(?: and|\.|,) (?:S )?(?:wants to |decides to |will
         )?
         (?:shares?|divides?|splits?|distributes?|gives?|shared|divided) (?:them|it|the (?P<t2>T)) (?:equally|evenly)
         (?:among|between|to) (?:his |her |their )?N (?P<g>W)[.,] how many (?P<t3>T) {_GETS}""", _quotient),
        (rf"""(?:if )?N (?P<t>T) (?:are|is) (?:shared|divided|split|distributed) (?:equally|evenly) (?:among|between)
         N (?P<g>W)[.,] how many (?P<t3>T) {_GETS}""", _quotient),
        (rf"(?:if )?N (?P<g>W) (?:share|divide|split) N (?P<t>T) (?:equally|evenly)[.,] how many (?P<t3>T) {_GETS}",
         lambda n, a: _quotient(a, n)),
        # speed
        (rf"""{_MOVES}{_AT} N {_PER_HOUR} for N hours?[,.] (?:how far|how many (?P<u3>{_UNIT})|what distance)
         (?:does|did|will|can|has) S(?: W)? {_MOVE}(?: in total)?""", lambda v, h: v * h),
        (rf"""{_MOVES}{_AT} N {_PER_HOUR}[,.] (?:how far|how many (?P<u3>{_UNIT})|what distance)
         (?:does|did|will|can) S(?: W)? {_MOVE} in N hours?""", lambda v, h: v * h),
        (rf"""{_MOVES} N (?P<u1>{_UNIT}) in N hours?[,.] what (?:is|was) (?:its|his|her|the(?: W)?)(?: W)?(?:
         average)? speed
         (?: of the W)?(?: in (?P<u3>{_UNIT}) per hour)?""", _quotient),
        # prices
        (rf"(?:if )?(?:each|an?|1) (?P<t>T) costs? {_PRICE}[,.] how much {_COSTS} N (?P<t3>T) cost{_TOTAL}",
         lambda p, n: p * n),
        (rf"(?:if )?N (?P<t>T) cost {_PRICE}[,.] how much {_COSTS} (?:each|an?) (?P<t3>T) cost", lambda n, p: p / n),
        (rf"(?:if )?N (?P<t>T) cost {_PRICE}[,.] how much {_COSTS} N (?P<t3>T) cost{_TOTAL}", lambda n, p, m: p / n
         * m),
        (rf"""{_BUYS} {_PRICE} (?:each|apiece|per W)[.,] how (?:much(?: money)?|many (?P<u2>dollars|cents))
         (?:does|did|will) S (?:spend|pay)(?: on the T)?{_TOTAL}""", lambda n, p: n * p),
        (rf"""{_BUYS} {_PRICE} (?:each|apiece|per W)(?: and|\. S) (?:pays|paid) with an? N[- ]dollars? bill[.,]
         how (?:much change|many dollars of change|many dollars|much money) (?:does|did|will) S
         (?:get|receive)(?: back)?""",
         _change),
        (rf"""{_BUYS} {_PRICE} each and N (?P<t2>T) (?:for|at) N (?P<u2>dollars|cents) each[.,]
         how much (?:money )?(?:does|did|will) S (?:spend|pay){_TOTAL}""", lambda n, p, m, q: n * p + m * q),
        (r"""(?:an?|the) T (?:costs|is priced at|is|originally costs|has a price of) N dollars(?:\.|,| and) (?:if )?
         (?:it|the W) (?:is on sale (?:for|with|at)|is on sale with a discount of|is discounted by|is sold (?:at|with)|
         is reduced by|has) ?(?:an? )?N ?(?:%|percent)(?: off| discount)?[.,] (?:what is (?:the|its)
         (?:sale|final|new|discounted|reduced) price(?: of the T)?|how much does it cost(?: now| after the
          discount)?)""",
         lambda p, d: p * (1 - d / 100)),
        (rf"""an? (?P<t>T) costs {_PRICE} and an? (?P<v>T) costs N (?P<u2>dollars|cents)[.,] S buys N (?P<t3>T) and
         N (?P<v2>T)[.,] how (?:much(?: money)?|many (?P<u3>dollars|cents)) does S (?:pay|spend){_TOTAL}""",
         lambda p, q, n, m: p * n + q * m),
        # one is dearer than the other
        (r"""(?:an? |the )(?P<a>W) and (?:an? |the )(?P<b>W) cost N dollars(?: in total| together| in all)?[.,]
         (?:if )?the (?P<c>W) costs N dollars more than the (?P<d>W)[.,] how much does the (?P<e>W) cost""",
         lambda t, d: (t - d) / 2),
        # parts of a whole
        (r"""(?:there are|an? W has) N (?:students|children|pupils|people|kids|players)(?: in (?:a|the) (?:W )?W)?[.,]
         (?:if )?
         N (?:of them |of the W )?are (?P<k>boys|girls|men|women)[.,] how many (?:are |of them are |W are )
         (?P<k2>boys|girls|men|women)(?: are there)?""", _rest),
        # ages
        (r"(?P<a>W) is N years? older than (?P<b>W)[.,] (?:if )?(?P<c>W) is N(?: years old)?[.,] how old is (?P<d>W)",
         lambda more, b: b + more),
        (r"(?P<a>W) is N years? younger than (?P<b>W)[.,] (?:if )?(?P<c>W) is N(?: years old)?[.,] how old is (?P<d>W)",
         lambda fewer, b: _rest(b, fewer)),
        (r"(?P<a>W) is twice as old as (?P<b>W)[.,] (?:if )?(?P<c>W) is N(?: years old)?[.,] how old is (?P<d>W)",
         lambda b: 2 * b),
        (r"(?P<a>W) is N years old(?: now| today)?[.,] how old will (?P<d>W) be in N years", lambda a, n: a + n),
        # so many in each of some days
        (rf"""(?:if )?(?:S|(?:an?|the) W) {_VERBS} N (?P<t>T) (?:per|every|each|an?|in an?|in 1)
         (?P<p>day|hour|week|month|minute)[.,] how (?:many (?P<t3>T)|much(?: money)?|far) (?:does|will|can|would|do)
         (?:S|(?:an?|the) W) {_VERB} in N (?P<p2>{_DAYS})""", lambda n, d: n * d),
        # what is asked for comes first
        (rf"""how many (?P<t>T) (?:does|will|can|would) (?:an? |the )?(?P<who>W) {_VERB} in N (?P<p>{_DAYS}) if
         (?:he|she|it|(?:the )?(?P=who)) {_VERBS} N(?: (?P<t3>T))? (?:per|every|each|an?|in an?|in 1)
         (?P<p2>day|hour|week|month|minute)""", lambda d, n: n * d),
        (rf"""how many (?P<t>T) do (?P<who>W) and (?P<other>W) have{_TOTAL} if (?P=who) has N(?: (?P<t3>T))?,? and
         (?P=other) has N(?: (?P<t4>T))?""", lambda a, b: a + b),
        (r"""how many (?P<t>people|children|houses) (?:live|are) in (?:two|2) W if (?:1|one) (?:W )?has N(?: (?P<t3>T))?
         and the other(?: W)?(?: has)? N(?: (?P<t4>T))?""", lambda a, b: a + b),
        (r"""how many (?P<t>W) and (?P<v>W) are (?:there )?in an? W with N (?P<t3>W) and N (?P<v2>W)(?: in it)?""",
         lambda a, b: a + b),
        (rf"""how (?:many (?P<u2>dollars|cents)|much) (?:do|will|would) N (?P<t>T) cost{_TOTAL} if (?:1|each|every|an?)
         (?P<t3>T) costs {_PRICE}(?: each)?""", lambda n, p: n * p),
        (rf"""how (?:many (?P<u2>dollars|cents)|much) (?:does|will|would) S pay for N (?P<t>T) if (?:1|each|every|an?)
         (?P<t3>T) costs {_PRICE}(?: each)?""", lambda n, p: n * p),
        (r"""how many (?P<t>T) (?:are|is) left (?:in|of) an? W of N (?P<t3>T) (?:after|if|when) N(?: more)?(?:
         (?P<t4>T))?(?: of W)?
         (?:are|is|were|was|have been) (?:removed|taken|taken out|used|drained|sold|eaten|read|poured out|drawn)""",
         _rest),
        (r"""how many (?P<t>pages) (?:are|is) left (?:in|of) an? book of N (?P<t3>pages) after reading N
         (?: (?P<t4>pages))?(?: of (?:it|the book))?""", _rest),
        (r"""how many (?P<t>T) are left if S has N (?P<t3>T) and (?:gives|sells|loses|uses)(?: away)? N
         (?: of them| more)?(?: (?P<t4>T))?(?: away)?(?: to (?:(?:his|her|an?|the) )?(?:W )?W)?""", _rest),
    )
)  # fmt: skip
_OTHER = {"boys": "girls", "girls": "boys", "men": "women", "women": "men"}


def _answers(text: str) -> list[Fraction]:
    found = []
    for words, rule in _PROBLEMS:
        match = words.fullmatch(text)
        if match is None or not _agrees(match.groupdict()):
            continue
        try:
            found.append(rule(*numbers_of(match)))
        except (Unreadable, ZeroDivisionError):
            continue
    return found


def _agrees(named: Mapping[str, str | None]) -> bool:
    """Whether things, groups, units and people that have to be the same are."""
    things = (("t", "t3"), ("t", "t4"), ("g", "g2"), ("p", "p2"), ("v", "v2"))
    if not all(one_thing([named.get(one), named.get(other)]) for one, other in things):
        return False
    units = [named.get(key) for key in ("u1", "u2", "u3")]
    if len({SIZES.get({"mph": "miles", "km/h": "km"}.get(unit, unit)) for unit in units if unit}) > 1:
        return False
    if named.get("k") and named["k2"] != _OTHER[str(named["k"])]:
        return False
    a, b, c, d, e = (named.get(key) for key in "abcde")
    if e:  # "the bat costs more than the ball": the cheaper one is asked for
        return {a, b} == {c, d} and a != b and e == d
    if b:  # of two people the second one's age is told, the first one's asked for
        return a != b and c == b and d == a
    return d is None or d in (a, "he", "she")
