r"""The process that runs math-verify; ``symbolic.py`` is the side that starts, times and kills it.

One JSON line per request on standard input, ``{"first": LATEX, "second": LATEX, "cpu_s": SECONDS}``, and one per reply
on standard output: ``{"same": true}``, ``{"timeout": true}``, or ``{"fault": NAME}`` when math-verify could not finish.
The first line out is ``{"ready": true}``: imports and the first parse take longer than a comparison may. Every question
is answered by a forked child, so that killing one costs no new imports.

math-verify's own alarms are off (they only work in a main thread and do not stop C code); this process times its
children, and the other side times this process. If that side is killed, the end of input ends this process, and the CPU
limit ends a child. It is run as a file, not as a module: only the standard library and math-verify are imported."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from typing import TextIO

Compare = Callable[[str, str], bool]

# math-verify's defaults, 6 and 15, call 1e-7 and 2e-7 the same. Rounding is decided by our own rules, before.
_DECIMAL_PLACES, _DIGITS = 30, 40
SAMPLE = ("x^{2}+1", "1+x^{2}")


def main() -> None:
    """Answer requests until the input ends. The argument is the limit of the address space in bytes."""
    memory_bytes = int(sys.argv[1])
    replies = _private_output()
    same = _math_verify()
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    same(*SAMPLE)  # builds the parser's tables
    _reply(replies, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        _reply(replies, _asked(same, request["first"], request["second"], request["cpu_s"]))


def _asked(same: Compare, first: str, second: str, seconds: float) -> dict[str, object]:
    """Ask a child forked for this one question: whatever sympy leaves behind ends with it, and it can be killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _allow_cpu(seconds)
        os.write(writing, json.dumps(_answer(same, first, second)).encode())
        os._exit(0)
    os.close(writing)
    try:
        waiting = select.poll()
        waiting.register(reading, select.POLLIN)
        if not waiting.poll(1000 * seconds):
            return {"timeout": True}
        answer = os.read(reading, 4096)
        return json.loads(answer) if answer else {"fault": "ended"}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)


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
    """The pipe for replies, out of reach of a library that prints."""
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
    """Make the process end by itself after this many more CPU seconds, whether or not anyone watches it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1)


if __name__ == "__main__":
    main()
