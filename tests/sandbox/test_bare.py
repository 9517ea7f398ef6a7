"""With preloads there are two kinds of interpreters: snippets that name no package are forked from a bare one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from coevolve.errors import SandboxUnavailable
from coevolve.sandbox import zygotes
from coevolve.sandbox.base import Limits, Status, ToolResult
from coevolve.sandbox.pool import SandboxPool
from coevolve.sandbox.selftest import Finding

from .processes import alive, children, eventually, open_descriptors

LOADED = "import sys; print('hea' + 'vy' in sys.modules)"


@pytest.fixture
def packages(tmp_path: Path) -> str:
    for name, code in (("heavy", "VALUE = 7\n"), ("other", "import heavy\nVALUE = heavy.VALUE\n")):
        (tmp_path / f"{name}.py").write_text(code)
    return str(tmp_path)


@pytest.fixture
def pool(packages: str) -> Iterator[SandboxPool]:
    with SandboxPool(preload=("heavy",), environment=packages, workers=2, limits=Limits(wall_s=60)) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _pool_survives() -> None:
    """The shared pool is not used here."""


def pids(pool: SandboxPool) -> list[int]:
    assert eventually(lambda: None not in pool._supervisor.zygote_pids)
    return [pid for pid in pool._supervisor.zygote_pids if pid is not None]


def test_who_names_a_package_is_forked_from_the_interpreter_that_has_loaded_it(pool: SandboxPool) -> None:
    for named in ("# heavy", "'heavy'", "import heavy", "heavy.VALUE", "# other: it imports the preload"):
        assert pool.run(f"{LOADED}\nif 0: {named}" if "#" not in named else f"{LOADED} {named}").stdout == "True\n"
    for bare in ("", "# heavyweight, unheavy", "x_heavy = 1"):
        assert pool.run(f"{LOADED}\n{bare}").stdout == "False\n"


def test_a_session_has_what_a_later_cell_may_need(pool: SandboxPool) -> None:
    assert [pool.run(LOADED, "ours").stdout, pool.run("import heavy; print(heavy.VALUE)", "ours").stdout] == [
        "True\n",
        "7\n",
    ]


def test_a_package_that_is_imported_without_being_named_is_there_all_the_same(pool: SandboxPool) -> None:
    assert pool.run("print(__import__('hea' + 'vy').VALUE)").stdout == "7\n"
    assert pool.run("print(__import__('oth' + 'er').VALUE)").stdout == "7\n"


def test_without_preloads_there_is_one_kind(packages: str) -> None:
    with SandboxPool(environment=packages) as pool:
        assert len(pids(pool)) == 1
        assert pool.run("import other; print(other.VALUE)").stdout == "7\n"


@pytest.mark.parametrize("killed", [0, 1])
def test_the_end_of_either_interpreter_leaves_what_runs_in_the_other(pool: SandboxPool, killed: int) -> None:
    before = pids(pool)
    slow = pool.submit(f"import time; time.sleep(600)\n# {'heavy' * killed}")
    assert eventually(lambda: [run.child.started for run in pool._supervisor._running] == [True])
    (run,) = pool._supervisor._running
    os.kill(before[killed], signal.SIGKILL)
    assert pool.run(LOADED).stdout == "False\n"
    assert pool.run(f"{LOADED} # heavy").stdout == "True\n"
    assert eventually(lambda: pids(pool)[killed] != before[killed])
    assert pids(pool)[1 - killed] == before[1 - killed]
    assert (run.job.spoilt, slow.done()) == (0, False)
    run.child.kill(None)
    assert slow.result().status is Status.KILLED


def test_both_are_relieved_and_nothing_is_left(packages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygotes, "_FORKS", 20)
    descriptors, ours = open_descriptors(), set(children(os.getpid()))
    with SandboxPool(preload=("heavy",), environment=packages, workers=2, limits=Limits(wall_s=60)) as pool:
        first, seen, turn = pids(pool), set(pids(pool)), 0
        while not all(pid not in first for pid in pids(pool)):
            futures: list[Future[ToolResult]] = [pool.submit(f"print({n})\n# {'heavy' * (n % 2)}") for n in range(8)]
            assert [future.result().stdout for future in futures] == [f"{n}\n" for n in range(8)]
            seen.update(pids(pool))
            turn += 1
            assert turn < 500
        assert pool.stats.infra_failures == 0
    assert eventually(lambda: not any(map(alive, seen)))
    assert set(children(os.getpid())) <= ours
    assert open_descriptors() == descriptors


def test_the_walls_of_both_are_tried_at_the_start(packages: str) -> None:
    tried = []

    def probe(run: object) -> tuple[Finding, ...]:
        assert callable(run)
        tried.append(run(LOADED).stdout)
        return (Finding("read a file", "landlock", len(tried) == 1, "succeeded"),)

    with pytest.raises(SandboxUnavailable, match="landlock is missing"):
        SandboxPool(preload=("heavy",), environment=packages, probe=probe)
    assert tried == ["False\n", "True\n"]
