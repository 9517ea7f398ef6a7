"""Labels of finished pools are added up over runs, iteration by iteration and check by check."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def labels() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("labels")
    sys.path.remove(str(BENCHMARKS))


def _summary(kept: int, known: int, right: float, numbers: dict[str, float]) -> dict[str, object]:
    pool = {"kept": kept, "label_known_kept": known, "label_accuracy_kept": right, "checks": {"numbers": numbers}}
    return {"iterations": [{"iteration": 0}, {"iteration": 1, "pool": pool}]}


def test_counts_are_added_up_and_shares_are_of_what_is_known(
    labels: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    passing = {"passing": 6, "known_passing": 4, "right_passing": 0.75, "failing": 2, "known_failing": 0}
    found = {
        "a": _summary(10, 8, 0.875, passing),
        "b": _summary(5, 2, 0.5, {"passing": 1, "known_passing": 1, "right_passing": 1.0, "failing": 0}),
    }
    monkeypatch.setattr(labels, "summarise", lambda folder: found[folder.name])
    monkeypatch.setattr(sys, "argv", ["labels.py", "a", "b"])
    labels.main()
    printed = capsys.readouterr().out.splitlines()
    assert "| iteration 1 | 15 | 8 of 10 (80 %) |" in printed
    assert "| `numbers` | 7 | 4 of 5 (80 %) | 2 | none known |" in printed
    assert "| `output` | 0 | none known | 0 | none known |" in printed
