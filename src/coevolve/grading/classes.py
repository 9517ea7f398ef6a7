"""From verdicts on pairs to classes of answers, independent of the order of the answers.

Answers that are exactly the same form a class: those with the same class key, and the transitive closure of pairs that
only math-verify can decide. Then a weak form joins the class of a strong one (5 that of 5 cm, 1.4142 that of the root
of 2) if all strong forms that it matches belong to one class. A joined form is not a bridge: it never merges two
classes.

A float (0.30000000000000004) is a weak form as well. Of the exact classes that it matches only the nearest count;
floats that match none are a class together with all that they are linked to by pairs of matching ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from math import inf

from coevolve.grading.floats import holds_float
from coevolve.grading.verdict import Stage, Verdict

BRIDGES = (Stage.UNIT, Stage.ROUNDED, Stage.DOMAIN)  # the stages whose "same" is not transitive
PATIENCE = 2  # comparisons of one answer that may time out; after that it gets no more


@dataclass(frozen=True, slots=True)
class Classes:
    """Answers in classes; the largest first, ties by key.

    Args:
        members: indices into the answers.
        keys: the canonical key that stands for a class: of its strong forms the shortest that is no float, ties by
            alphabet.
        forms: all canonical keys of a class, sorted.
        timeouts: pairs that counted as different because math-verify did not finish.
        skipped: pairs that counted as different because the budget of the group was used up.
    """

    members: tuple[tuple[int, ...], ...]
    keys: tuple[str, ...]
    forms: tuple[tuple[str, ...], ...]
    timeouts: int = 0
    skipped: int = 0


@dataclass(slots=True)
class Budget:
    """What the comparisons of one group of answers may cost; after that pairs count as different, unseen.

    Args:
        late: comparisons that may time out.
        questions: comparisons by math-verify.
        seconds: that math-verify may take for all of them.
        letters: of pairs that have to be compared in many places by our own rules.
        skipped: pairs that were not compared.
    """

    late: int = 3
    questions: int = 60
    seconds: float = inf
    letters: int = 12_000
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """How spellings of answers are compared; functions of two are symmetric except ``weaker``.

    Args:
        class_key: equal keys mean exactly the same; None when the spelling has none.
        own: our own verdict on two, None when it is left open.
        weaker: whether the first carries less information than the second: no unit, or a rounded value.
        symbolic: the verdict of math-verify on two that are left open.
        distance: between two that are the same to the precision of floats, None for others.
        effort: the letters of two that our own rules have to compare in many places, 0 for others.
    """

    class_key: Callable[[str], str | None]
    own: Callable[[str, str], Verdict | None]
    weaker: Callable[[str, str], bool]
    symbolic: Callable[[str, str], Verdict]
    distance: Callable[[str, str], Fraction | None] = lambda first, second: None
    effort: Callable[[str, str], int] = lambda first, second: 0


@dataclass(frozen=True, slots=True)
class _Bridge:
    """Two keys that are the same over a bridge; the weak one may join the class of the strong one.

    Args:
        distance: where they are the same to the precision of floats.
        mutual: both are floats, and neither is the weak one.
    """

    weak: str
    strong: str
    distance: Fraction | None = None
    mutual: bool = False


def largest_first(
    groups: Iterable[tuple[Sequence[str], Sequence[int]]], timeouts: int = 0, skipped: int = 0
) -> Classes:
    """Classes from groups of (canonical keys, the one to show first; indices)."""
    ordered = sorted(groups, key=lambda group: (-len(group[1]), group[0][0]))
    return Classes(
        members=tuple(tuple(indices) for _, indices in ordered),
        keys=tuple(keys[0] for keys, _ in ordered),
        forms=tuple(tuple(sorted(keys)) for keys, _ in ordered),
        timeouts=timeouts,
        skipped=skipped,
    )


def partition(
    spellings: Mapping[str, Sequence[str]], rules: Rules, budget: Budget | None = None
) -> tuple[list[list[str]], int]:
    """Groups of canonical keys, each with the one to show first, and the number of pairs that timed out.

    Args:
        spellings: the spellings of each canonical key, sorted.
        rules: how they are compared.
        budget: what this may cost; it is used up.
    """
    budget = budget or Budget()
    forest = _Forest(sorted(spellings))
    by_class_key: dict[str, str] = {}
    for key in forest.keys:
        for class_key in filter(None, map(rules.class_key, spellings[key])):
            forest.join(key, by_class_key.setdefault(class_key, key))
    bridges: list[_Bridge] = []
    open_pairs: dict[tuple[str, str], tuple[str, str]] = {}
    for a, b in combinations(forest.keys, 2):
        if forest.root(a) == forest.root(b):
            continue
        pairs = list(product(spellings[a], spellings[b]))
        letters = sum(rules.effort(x, y) for x, y in pairs)
        if letters > budget.letters:
            budget.skipped += 1
            continue
        budget.letters -= letters
        verdicts = [rules.own(x, y) for x, y in pairs]
        if any(v is not None and v.same and v.stage not in BRIDGES for v in verdicts):
            forest.join(a, b)
        elif None in verdicts:
            open_pairs[a, b] = pairs[verdicts.index(None)]
        elif all(v is not None and v.same for v in verdicts):
            # one key may have spellings with more information: $5 and 5
            bridges.append(_bridge(a, b, *pairs[0], verdicts[0], rules))
    timeouts = _close(forest, open_pairs, rules.symbolic, budget)
    return _with_weak_forms(forest, _of_floats(forest, bridges)), timeouts


def _bridge(a: str, b: str, x: str, y: str, verdict: Verdict | None, rules: Rules) -> _Bridge:
    """The bridge between two keys, by one spelling of each."""
    rounded = verdict is not None and verdict.stage is Stage.ROUNDED
    distance = rules.distance(x, y) if rounded else None
    if rules.weaker(x, y):
        return _Bridge(a, b, distance)
    return _Bridge(b, a, distance, mutual=distance is not None and not rules.weaker(y, x))


def _of_floats(forest: _Forest, bridges: Iterable[_Bridge]) -> list[tuple[str, str]]:
    """Join floats that match nothing exact with each other; the weak and the strong key of all other bridges.

    Of the exact classes that a float matches only the nearest ones are kept."""
    weak_keys: dict[tuple[str, str], set[str]] = {}
    kept: list[_Bridge] = []
    mutual: list[_Bridge] = []
    exact: list[_Bridge] = []
    for bridge in bridges:
        (mutual if bridge.mutual else kept if bridge.distance is None else exact).append(bridge)
    for bridge in exact:
        weak_keys.setdefault((forest.root(bridge.weak), forest.root(bridge.strong)), set()).add(bridge.weak)
    size = Counter(map(forest.root, forest.keys))
    nearest: dict[str, Fraction] = {}
    for bridge in list(exact):
        root, strong = forest.root(bridge.weak), forest.root(bridge.strong)
        if root == strong or len(weak_keys[root, strong]) < size[root]:  # the class has an exact spelling, too
            exact.remove(bridge)
        elif bridge.distance is not None:
            nearest[root] = min(nearest.get(root, bridge.distance), bridge.distance)
    kept += [bridge for bridge in exact if bridge.distance == nearest[forest.root(bridge.weak)]]
    loose = [b for b in mutual if not {forest.root(b.weak), forest.root(b.strong)} & nearest.keys()]
    for bridge in loose:
        forest.join(bridge.weak, bridge.strong)
    return [(bridge.weak, bridge.strong) for bridge in kept]


def _close(
    forest: _Forest,
    pairs: Mapping[tuple[str, str], tuple[str, str]],
    symbolic: Callable[[str, str], Verdict],
    budget: Budget,
) -> int:
    """Join what math-verify calls the same. Pairs are sorted: what is skipped depends on the answers alone."""
    late: Counter[str] = Counter()
    for (a, b), (x, y) in pairs.items():
        if forest.root(a) == forest.root(b):
            continue
        spent = budget.late <= 0 or budget.questions <= 0 or budget.seconds <= 0
        if spent or max(late[a], late[b]) >= PATIENCE:
            budget.skipped += 1
            continue
        verdict = symbolic(x, y)
        budget.questions -= 1
        if verdict.same:
            forest.join(a, b)
        elif verdict.stage is Stage.TIMEOUT:
            late.update((a, b))
            budget.late -= 1
    return late.total() // 2


def _with_weak_forms(forest: _Forest, weak_to_strong: Iterable[tuple[str, str]]) -> list[list[str]]:
    stronger: dict[str, set[str]] = {root: set() for root in map(forest.root, forest.keys)}
    for weak, strong in ((forest.root(a), forest.root(b)) for a, b in weak_to_strong):
        if weak != strong:
            stronger[weak].add(strong)
    home: dict[str, str] = {}

    def find(root: str, above: tuple[str, ...] = ()) -> str:
        """The class that a class joins: the one of everything stronger, if it matches that class."""
        if root not in home:
            if root in above:  # each is weaker than the other: neither is the strong one
                return root
            found = {find(other, (*above, root)) for other in sorted(stronger[root])}
            home[root] = found.pop() if len(found) == 1 and found <= stronger[root] else root
        return home[root]

    own: dict[str, list[str]] = {root: [] for root in stronger}
    joined: dict[str, list[str]] = {root: [] for root in stronger}
    for key in sorted(forest.keys, key=lambda key: (holds_float(key), len(key), key)):
        root = forest.root(key)
        (own if find(root) == root else joined)[find(root)].append(key)
    return [own[root] + joined[root] for root in stronger if own[root]]


class _Forest:
    """Disjoint sets of keys; the root of a set is its first key, however the set was built."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys
        self._parent = {key: key for key in keys}

    def root(self, key: str) -> str:
        while self._parent[key] != key:
            key = self._parent[key]
        return key

    def join(self, a: str, b: str) -> None:
        first, second = sorted((self.root(a), self.root(b)))
        self._parent[second] = first
