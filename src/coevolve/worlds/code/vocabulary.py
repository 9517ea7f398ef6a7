"""The tokens of the world of programs: those of the miniature, whose base model it goes on from, and its own."""

from __future__ import annotations

from coevolve.worlds.miniature import vocabulary as miniature

LAYOUT = ("def f(", "):\n    ", "\n    ", "return ", "f(", ") == ", "?", "[", "]", ", ", ":", "[::-1]", "[1:]", "[:2]")
BUILT_IN = ("sum(", "len(", "min(", "max(", "sorted(", "True", "False")
SIGNS = (" - ", " // ", " % ", " > ", "# ")
MESSAGES = (
    *("add", "subtract", "multiply", "divide", "remainder", "compare", "sum", "length", "least", "greatest"),
    *("first", "last", "sort", "tail", "head", "reverse"),
)
TYPES = ("deduction", "abduction", "induction")
OWN = (*LAYOUT, *BUILT_IN, *SIGNS, *MESSAGES, *TYPES)
TOKENS = (*miniature.TOKENS, *(token for token in OWN if token not in miniature.TOKENS))
