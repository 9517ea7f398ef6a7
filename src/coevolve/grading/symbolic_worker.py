r"""The process that asks math-verify; see ``symbolic.py`` for the side that starts, times and kills it.

One JSON line per request on standard input, ``{"first": LATEX, "second": LATEX, "cpu_s": SECONDS}``, and one per reply
on standard output: ``{"same": true}``, or ``{"fault": NAME}`` when math-verify could not finish. The first line out is
``{"ready": true}``: the imports and the first parse take longer than a comparison may.

math-verify's own alarms are off (they work in a main thread only and stop no C code); the other side keeps the time.
Should that side be killed, the end of the input or the CPU limit ends this process. Run as a file, not as a module:
nothing but the standard library and math-verify is imported.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from typing import TextIO

Compare = Callable[[str, str], bool]

# math-verify's defaults, 6 and 15, call 1e-7 and 2e-7 the same. Rounding is decided by our own rules, before.
_DECIMAL_PLACES, _DIGITS = 30, 40


def main() -> None:
    """Answer requests until the input ends. The argument is the limit of the address space in bytes."""
    memory_bytes = int(sys.argv[1])
    replies = _private_output()
    same = _math_verify()
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    same("x^{2}+1", "1+x^{2}")  # builds the parser's tables
    _reply(replies, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        _allow_cpu(request["cpu_s"])
        _reply(replies, _answer(same, request["first"], request["second"]))


def _answer(same: Compare, first: str, second: str) -> dict[str, object]:
    """Equal if either direction says so: math-verify treats its two sides differently."""
    try:
        return {"same": same(first, second) or same(second, first)}
    except (MemoryError, RecursionError) as error:
        return {"fault": type(error).__name__}
    except Exception:  # sympy fails in many ways on what it does not know; then it has not shown the two to be the same
        return {"same": False}


def _math_verify() -> Compare:
    from math_verify import LatexExtractionConfig, parse, verify

    def read(latex: str) -> list[object]:
        found: list[object] = parse(
            f"${latex}$",
            [LatexExtractionConfig()],
            fallback_mode="no_fallback",
            parsing_timeout=None,
            raise_on_error=True,
        )
        return found

    def same(first: str, second: str) -> bool:
        verdict: bool = verify(
            read(first),
            read(second),
            float_rounding=_DECIMAL_PLACES,
            numeric_precision=_DIGITS,
            timeout_seconds=None,
            raise_on_error=True,
        )
        return verdict

    return same


def _private_output() -> TextIO:
    """The pipe of the replies, out of the reach of a library that prints."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _reply(replies: TextIO, content: dict[str, object]) -> None:
    replies.write(json.dumps(content) + "\n")
    replies.flush()


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _allow_cpu(seconds: float) -> None:
    """Let the process end by itself once it has used so many CPU seconds more, whoever still watches it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1)


if __name__ == "__main__":
    main()
