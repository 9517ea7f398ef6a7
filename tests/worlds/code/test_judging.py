"""The sandbox as the judge: right and wrong answers, programs that are no tasks, and hostile ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coevolve.config import SandboxSection
from coevolve.types import Origin
from coevolve.worlds.code.items import ABDUCTION, DEDUCTION, INDUCTION, Proposal, Triplet
from coevolve.worlds.code.judging import Verdict, Work, judge, validated
from coevolve.worlds.code.learner import CodeWorld
from coevolve.worlds.code.running import Runner

TWICE_AND_ONE = "def f(a):\n    b = a * 2\n    return b + 1"
TEN = tuple(map(str, range(10)))


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    runner = Runner(SandboxSection(cpu_s=0.5, output_bytes=4096, memory_mb=64))
    yield runner
    runner.close()


def verdicts(runner: Runner, proposal: Proposal, outputs: tuple[str, ...], *answers: str | None) -> list[str]:
    return [str(one) for one in judge(runner, [Work(proposal, outputs, answer) for answer in answers])]


def test_a_deduced_output_is_compared_as_a_literal(runner: Runner) -> None:
    proposal = Proposal(DEDUCTION, TWICE_AND_ONE, ("4",))
    found = verdicts(runner, proposal, ("9",), "9", " 9", "8", "4 * 2 + 1", "f(4)", None)
    assert found == ["right", "right", "wrong", "ill_formed", "ill_formed", "ill_formed"]


def test_any_input_that_gives_the_output_is_right(runner: Runner) -> None:
    remainder = Proposal(ABDUCTION, "def f(a):\n    return a % 3", ("4",))
    found = verdicts(runner, remainder, ("1",), "4", "7", "2", "[1]", "a", None)
    assert found == ["right", "right", "wrong", "wrong", "ill_formed", "ill_formed"]


def test_a_program_is_right_if_it_gives_the_hidden_outputs(runner: Runner) -> None:
    proposal = Proposal(INDUCTION, TWICE_AND_ONE, TEN, "multiply, add")
    outputs = tuple(str(2 * n + 1) for n in range(10))
    fits_what_is_shown = "def f(a):\n    return a * 2 + 1 if a < 5 else 0"
    other_spelling = "def f(x): return x + x + 1"
    found = verdicts(runner, proposal, outputs, other_spelling, fits_what_is_shown, "9", "def f(x): return y")
    assert found == ["right", "wrong", "ill_formed", "wrong"]


def test_what_is_stored_is_what_the_program_gives(runner: Runner) -> None:
    proposals = [
        Proposal(DEDUCTION, TWICE_AND_ONE, ("4",)),
        Proposal(DEDUCTION, "def f(a):\n    return sorted(a)[::-1]", ("[3, 1, 2]",)),
        Proposal(INDUCTION, "def f(a):\n    return a // 2", TEN, "divide"),
    ]
    found = validated(runner, proposals)
    assert [one and one.outputs for one in found] == [("9",), ("[3, 2, 1]",), tuple(str(n // 2) for n in range(10))]


# None of these is let into the sandbox by ``canonical_program``; here they are run as if they had been.
HOSTILE = {
    "does not end": "def f(a):\n    while True:\n        pass",
    "forks": "def f(a):\n    import os\n    while True:\n        os.fork()",
    "much output": "def f(a):\n    print('9' * 10**7)\n    return a",
    "much memory": "def f(a):\n    return len([0] * 10**10)",
    "reads a file": "def f(a):\n    return open('/etc/passwd').read()",
    "writes a file": "def f(a):\n    open('FILE', 'w').write('x')\n    return a",
    "exits": "def f(a):\n    import os\n    os._exit(0)",
    "exits well": "def f(a):\n    raise SystemExit(0)",
    "prints a line like the result": "def f(a):\n    print(7)\n    return 7",
    "gives no literal": "def f(a):\n    return object()",
    "raises": "def f(a):\n    return a // 0",
    "says anything of itself": "def f(a):\n    class Any(int):\n        __eq__ = lambda self, other: True\n"
    "        __repr__ = lambda self: 'whatever'\n    return Any()",
    "depends on the calls before": "seen = []\ndef f(a):\n    seen.append(a)\n    return len(seen)",
    "depends on the clock": "def f(a):\n    import time\n    return time.perf_counter_ns()",
    "depends on chance": "def f(a):\n    import os\n    return int.from_bytes(os.urandom(8), 'big')",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_is_no_task_and_harms_nothing(runner: Runner, tmp_path: Path, name: str) -> None:
    program = HOSTILE[name].replace("FILE", str(tmp_path / "file"))
    assert validated(runner, [Proposal(DEDUCTION, program, ("4",))]) == [None]
    assert list(tmp_path.iterdir()) == []
    assert runner.outputs([("def f(a):\n    return a + 1", ("4",))]) == [("5",)]


def test_a_program_that_patches_its_judge_changes_only_what_it_gives(runner: Runner) -> None:
    patching = (
        "def f(a):\n    import builtins, sys\n    builtins.repr = lambda value: '11'\n"
        "    builtins.print = lambda *values: sys.stdout.write('11\\n')\n    return a"
    )
    proposal = Proposal(INDUCTION, TWICE_AND_ONE, TEN, "multiply, add")
    hidden = proposal.inputs[5:]
    assert runner.outputs([(patching, hidden)])[0][1:] == ("11",) * 4  # forged, and alike: it knows no expected output
    outputs = tuple(str(2 * n + 1) for n in range(10))
    assert verdicts(runner, proposal, outputs, patching) == ["ill_formed"]  # and it is not even let in


def test_no_expected_output_enters_the_sandbox() -> None:
    asked: list[str] = []

    class Watched(Runner):
        def outputs(self, runs: object, *, salt: str = "") -> list[tuple[str | None, ...]]:  # type: ignore[override]
            asked.append(repr(runs))
            return [("0",) * 5]

    outputs = tuple(f"'secret {n}'" for n in range(10))
    proposal = Proposal(INDUCTION, TWICE_AND_ONE, TEN, "multiply, add")
    judge(Watched(SandboxSection()), [Work(proposal, outputs, TWICE_AND_ONE)])
    assert asked
    assert "secret" not in "".join(asked)


def test_the_world_judges_a_task_by_what_was_written_alone() -> None:
    world = CodeWorld(sandbox=SandboxSection(cpu_s=0.5))
    origin = Origin("absolute-zero", "solver", 1)
    deduction = Triplet(Proposal(DEDUCTION, TWICE_AND_ONE, ("4",)), ("9",)).task("a", origin)
    induction = Triplet(Proposal(INDUCTION, TWICE_AND_ONE, TEN, "add"), ("0",) * 10).task("b", origin)
    try:
        assert [world.check(deduction, answer) for answer in ("9", "8", "x")] == [1.0, 0.0, 0.0]
        assert world.check(induction, "def f(a):\n    return 1 + 2 * a") == 1.0
        assert "9" not in deduction.turns[0] + str(deduction.written)
    finally:
        world.runner.close()


def test_verdicts_are_the_words_of_the_log() -> None:
    assert list(map(str, Verdict)) == ["right", "wrong", "ill_formed"]
