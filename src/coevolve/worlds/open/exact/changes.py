"""Word problems about one number of things that becomes more and less: had, bought, gave away, how many are left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from coevolve.worlds.open.exact.words import numbers_of, one_thing, pattern

Patterns = Sequence[re.Pattern[str]]


def _all(*words: str) -> Patterns:
    return tuple(map(pattern, words))


_HAS = "(?:has|had|owns|starts with|begins with|bought|buys|picks|picked|bakes|baked|made|makes|collects|collected)"
_PLACE = r"(?: (?:from|at|in|on|for|to) (?:an? |the |his |her |their |another |some )?W(?: W)?)?"
_BY = r"(?:then |later )?(?:(?P<by>S) )?(?:then |later )?"
_MORE = r"(?: more| additional| extra| new)?(?: (?P<thing>T))?"
_NOW = r"(?: (?:now|in total|in all|altogether|left|remaining|over|then|at the end|in the end))*"

_STARTS = _all(
    rf"(?:an? |the )?(?:W )?(?P<who>W) {_HAS} N (?P<thing>T){_PLACE}",
    rf"there (?:are|were) N (?P<thing>T){_PLACE}",
    r"(?:an?|the) (?:W )?W (?:is cut into|is divided into|contains|holds|has) N (?:equal )?(?P<thing>T)",
)
_OWN_GAINS = _all(
    rf"""{_BY}(?:buys|bought|gets|got|finds|found|receives|received|is given|was
    given|picks|picked|collects|collected|adds|
    added|wins|won|earns|earned|makes|made|bakes|baked) (?:another )?N{_MORE}{_PLACE}""",
    rf"(?:then )?(?:(?:his|her|a) )?W (?:gives|gave) (?:him|her|them) (?:another )?N{_MORE}",
)
_GAINS = _all(
    rf"(?:then )?N{_MORE} (?:arrive|join|come|get on|joined|arrived|came|got on|fly in|are added)(?: (?:them|in))?",
    rf"{_BY}(?:adds|added|puts|put) (?:another )?N{_MORE}{_PLACE}",
)
_LOSSES = _all(
    rf"""{_BY}(?:gives away|gave away|gives|gave|sells|sold|eats|ate|loses|lost|uses|used|drops|dropped|throws
    away|donates|
    donated|removes|removed|takes away|takes out|spends|spent) N(?: of (?:them|these|those|his|her|the)(?: (?P<of>T))?)?
    (?: (?P<thing>T))?(?: away| out)?{_PLACE}""",
    rf"""(?:then )?N(?: of (?:them|the T))?{_MORE} (?:leave|left|get off|got off|go home|break|die|fly away|flew away|
    swim away|are (?:eaten|sold|removed|broken|taken|taken away|used))""",
)
_ENDS = _all(
    rf"how many (?:(?P<thing>T) )?(?:does|do|will|did) (?:the )?(?P<who>S) (?:still )?(?:have|own){_NOW}",
    rf"""how many (?:(?P<thing>T) )?(?:are|is|were|will be) (?:there )?(?:still )?(?:left|remaining|there|now|in
    total){_NOW}
    {_PLACE}""",
    rf"how many (?:(?P<thing>T) )?(?:remain|remains|is left){_PLACE}",
)
_VERBS = (
    r"(?:gives?|gave|buys|bought|gets|got|finds|found|eats|ate|sells|sold|loses|lost|uses|used|receives|received|adds)"
)
_BREAKS = re.compile(
    rf"[.;] |, (?=how many)|,? (?:and then|then|and) (?=(?:later )?{_VERBS}\b)|,? (?:and then|then|and) (?=[a-z]+ "
    rf"{_VERBS}\b)"
)
_PRONOUNS = {"he": "he", "his": "he", "him": "he", "she": "she", "her": "she", "they": "they"}


def change(text: str) -> list[Fraction]:
    """How many there are in the end; nothing where a sentence is another, or somebody else has a part in it."""
    sentences = [part.strip() for part in _BREAKS.split(text) if part]
    if len(sentences) < 3 or len({_PRONOUNS[word] for word in re.findall(r"[a-z]+", text) if word in _PRONOUNS}) > 1:
        return []
    start, end = _match(_STARTS, sentences[0]), _match(_ENDS, sentences[-1])
    if start is None or end is None:
        return []
    who, asked = start.groupdict().get("who"), end.groupdict().get("who")
    if (asked is None) != (who is None) and asked is not None:
        return []
    mine = {who, None, *_PRONOUNS}
    things = [start.groupdict().get("thing"), end.groupdict().get("thing")]
    (have,) = numbers_of(start)
    for sentence in sentences[1:-1]:
        event, sign = _event(sentence, owned=who is not None)
        if event is None or (who is not None and event.groupdict().get("by") not in mine):
            return []
        things += [event.groupdict().get("thing"), event.groupdict().get("of")]
        have += sign * numbers_of(event)[0]
        if have < 0:
            return []
    return [have] if asked in mine and have.denominator == 1 and one_thing(things) else []


def _event(sentence: str, *, owned: bool) -> tuple[re.Match[str] | None, int]:
    """A gain or a loss. What somebody buys is no gain of things that lie about."""
    for patterns, sign in ((_OWN_GAINS if owned else (), 1), (_GAINS, 1), (_LOSSES, -1)):
        found = _match(patterns, sentence)
        if found is not None:
            return found, sign
    return None, 0


def _match(patterns: Patterns, text: str) -> re.Match[str] | None:
    return next((found for words in patterns if (found := words.fullmatch(text))), None)
