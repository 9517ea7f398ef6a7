"""What the page shows of the checks of a pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coevolve.config import Config
from coevolve.methods.agent0 import Agent0
from coevolve.methods.figures import RunView
from coevolve.methods.phases.checks_report import checks_table, contradicted_labels

ENTRY = {"gated": False, "limit": 1.0, "passing": 30, "failing": 10}
NAMES = ("output", "programs", "numbers", "refusals", "own_answer")


def summary(*pools: dict[str, Any]) -> dict[str, Any]:
    return {
        "iterations": [
            {"iteration": 0, "pool": None},
            *({"iteration": t, "pool": pool} for t, pool in enumerate(pools, 1)),
        ]
    }


def view(config: Config, *pools: dict[str, Any]) -> RunView:
    method = Agent0()
    return RunView(summary(*pools), (), config, method.agents(config), method.answerer)


def test_every_check_has_a_row_with_what_passes_and_how_many_labels_are_true(config: Callable[..., Config]) -> None:
    first = dict.fromkeys(NAMES, ENTRY)
    judged = ENTRY | {"right_passing": 0.75, "right_failing": 0.1}
    second = first | {"output": judged, "programs": ENTRY | {"gated": True, "limit": 2.0, "passing": 40, "failing": 0}}
    second |= {"own_answer": ENTRY | {"passing": 0, "failing": 0}}
    (table,) = checks_table(view(config(), {"checks": first}, {"checks": second}), "pool")
    assert table.head == ("", "iteration 1", "iteration 2")
    rows = dict(zip(NAMES, table.rows, strict=True))
    assert rows["output"][0][0] == "(printed)"
    assert rows["programs"][0] == ("computed in 2 ways", "programs of different shape lead to the label")
    assert rows["output"][1:] == ("75 % of 40", ("75 % of 40", "true: 75 % with, 10 % without"))
    assert rows["programs"][2] == "100 % of 40"
    assert rows["own_answer"][2] == "–"


def test_a_run_that_is_older_than_the_checks_has_no_table(config: Callable[..., Config]) -> None:
    assert list(checks_table(view(config(), {"size": 8}), "pool")) == []


def test_contradicted_majorities_are_worth_a_word_above_a_twentieth() -> None:
    checks = {"output": ENTRY}
    few, many = {"asked": 40, "contradicted": 2}, {"asked": 40, "contradicted": 10, "checks": checks}
    assert contradicted_labels("pool", summary(few), ()) is None
    assert contradicted_labels("pool", summary({"asked": 40}), ()) is None
    found = contradicted_labels("pool", summary(few, many), ())
    assert found is not None
    assert found.tone == "bad"
    assert "5.0\u00a0% → 25.0\u00a0%" in found.text
    assert "gate.output=true" in found.text
    gated = many | {"checks": {"output": ENTRY | {"gated": True}}}
    found = contradicted_labels("pool", summary(gated), ())
    assert found is not None
    assert found.tone == "watch"
