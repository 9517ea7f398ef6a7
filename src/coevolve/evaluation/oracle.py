"""True labels for one row of a study, which measures what labels by vote cost. No other run is given them.

The driver hands :class:`TrueLabels` to the phases as their labeller; what learns imports nothing of it and never meets
the meter itself. Everything that such a run leaves is marked.

Source: the gap to an oracle is a figure of arXiv 2606.01075.
"""

from __future__ import annotations

from pathlib import Path

from coevolve.errors import ConfigError, RunError
from coevolve.types import Task
from coevolve.worlds.base import Meter

ORACLE_FACT = {"oracle": True}  # in the manifest of a marked run
TRAINED_ON_TRUTH = (
    "the solver of this run learns from true labels (solver.labels=truth). It is the other side of a study of what"
    " labels by vote cost, and no result of the method"
)


class TrueLabels:
    """Labels tasks with their true answers; implements :class:`coevolve.methods.base.Labeller`.

    A task without a true answer gets no label, so that it is not trained on: any label would be a wrong one.
    """

    def __init__(self, meter: Meter, world: str) -> None:
        """
        Raises:
            ConfigError: the world knows no true answers, or those of some tasks only.
        """
        if not meter.knows_all_labels:
            what = f"the world {world} does not know the true answers of all written tasks, so they cannot be labels"
            raise ConfigError(what, where="solver.labels = truth", fix="use a world that knows them: world=miniature")
        self._meter = meter

    def __call__(self, task: Task) -> str | None:
        return self._meter.truth(task)


def refuse_oracle(run: Path, doing: str) -> RunError:
    """What to say where a marked run would pass for a result.

    Args:
        run: its folder.
        doing: what it is not taken for, for example "exported".
    """
    return RunError(
        f"a run on true labels is not {doing}: it knows answers that no method has",
        where=str(run),
        fix="take a run on labels by vote; what the two differ by: coevolve compare RUN ORACLE_RUN",
    )
