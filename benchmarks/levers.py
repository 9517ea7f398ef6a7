"""Finished runs of the levers against lock-in, and the default run against what the miniature must show.

    python benchmarks/levers.py runs/mini-s0 runs/mini-s1 runs/no-tool-s0 [--json]
    python benchmarks/levers.py --must runs/headline-s* [--into README.md]

The first table is the last one of ``coevolve compare``, which also has differences with their intervals and takes runs
that have not finished. The name of a folder is its label; folders ``<label>-s<seed>`` are averaged, with a 95 %
t-interval over the seeds. ``--into FILE`` writes the table between the lines ``<!-- results -->`` and
``<!-- /results -->`` of a Markdown file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from targets import judged_rows  # the file next to this one

from coevolve.commands.compare import quantities_markdown, seeds_text
from coevolve.commands.markdown import markdown_table, write_between
from coevolve.errors import CoevolveError, RunError
from coevolve.methods.reporting import iterations
from coevolve.studies.comparison import Runs, read_runs
from coevolve.studies.side_by_side import side_by_side


def finished_runs(folders: Sequence[Path]) -> Runs:
    """The runs by label.

    Raises:
        RunError: as ``read_runs``, and for a run that has not finished.
    """
    runs = read_runs(folders)
    for run in (run for mine in runs.values() for run in mine):
        if not run.finished:
            raise RunError("the run is not finished", where=str(run.path), fix=f"coevolve resume {run.path}")
    return runs


def must_table(runs: Runs) -> tuple[str, list[dict[str, str]]]:
    """What must be so, what is aimed at and what was measured, for the runs of one label: Markdown, and its rows.

    Raises:
        RunError: there are several labels, or the runs have not three iterations.
    """
    if len(runs) != 1:
        raise RunError("this table is about one setting", where=", ".join(runs), fix="name the runs of one label")
    label, mine = next(iter(runs.items()))
    if len(iterations(mine[0].summary)) != 4:
        raise RunError("this table is about three iterations", where=label, fix="name runs with iterations=3")
    rows = judged_rows([run.summary for run in mine])
    begin, *_, end = side_by_side(runs)[0].curve
    bounds = " → ".join(f"{100 * x.low:.1f} to {100 * x.high:.1f} %" for x in (begin, end))
    rows[0]["measured"] += f" (95 % intervals: {bounds})"
    table = markdown_table([["measure", "must", "aim", "measured", ""], *([*row.values()] for row in rows)])
    config, seeds = mine[0].config, seeds_text([run.seed for run in mine])
    several = "problems and seeds" if len(mine) > 1 else "problems only"
    setting = (
        f"Preset `{config.preset}`, seeds {seeds}, held-out problems of set {config.evaluation.problem_set};"
        f" intervals are over {several}."
    )
    return f"{table}\n\n{setting} Means over seeds are judged unless a row says more.", rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished run folder")
    parser.add_argument("--must", action="store_true", help="one label against what the miniature must show")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write the table between the markers of this file")
    options = parser.parse_args(arguments)
    try:
        runs = finished_runs(options.runs)
        if options.must:
            table, rows = must_table(runs)
        else:
            results = side_by_side(runs)
            table, rows = quantities_markdown(results), [result.as_json() for result in results]
        if options.into:
            write_between(options.into, table)
    except CoevolveError as error:
        sys.exit(f"error: {error}")
    if not options.into:
        print(json.dumps(rows, indent=1) if options.json else table)


if __name__ == "__main__":
    main()
