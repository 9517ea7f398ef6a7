"""Whether a run in the open world has anything to learn from: what its first phases found decides, and nothing else.

The rows of a run say it, so that a run which was taken up again is refused as it was the first time.
"""

from __future__ import annotations

import shlex

from coevolve.errors import NothingToLearn
from coevolve.evaluation.phase import run_reports
from coevolve.methods.obstacles import Obstacle
from coevolve.methods.reporting import Seen
from coevolve.store import settings
from coevolve.store.records import RunRecords

_FIRST = (0, 1)  # iterations whose rows are looked at: later ones may keep nothing for once, and go on


def fatal_obstacles(records: RunRecords) -> list[Obstacle]:
    """What leaves nothing to learn, by the rows of the first look, the first step and the first pool."""
    config = records.config
    if not config.has_trial:
        return []
    rows = records.metrics()
    return [
        obstacle
        for iteration in _FIRST
        for report in run_reports(config)
        if report.stops is not None
        for obstacle in report.stops(Seen(rows, iteration, config))
    ]


def require_learning(records: RunRecords) -> None:
    """
    Raises:
        NothingToLearn: the run would train on nothing; names the keys that would change it.
    """
    found = fatal_obstacles(records)
    if not found:
        return
    again = f"coevolve run --config {shlex.quote(str(records.path / settings.NAME))} --set run.dir=NEW"
    keys = "; ".join(dict.fromkeys(obstacle.change for obstacle in found))
    raise NothingToLearn(
        "nothing can be learned: " + "; ".join(obstacle.text for obstacle in found),
        where=str(records.path),
        fix=f"{keys}\n  then a new run, since this one keeps its settings: {again} --set KEY=VALUE"
        f"\n  to go on all the same: {again} --set health.trial=0",
    )
