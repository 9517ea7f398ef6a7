"""Which labels of finished pools are true: the kept ones by iteration, and all with p_hat in the window by check.

    python benchmarks/labels.py RUN [RUN ...] [--json]

For runs whose meter knows true answers, at least some: the open world's exact solver reads what it can. The second
table takes the questions inside the gate's window and says of each check how many labels are true where it is passed,
and where it is failed. The numbers stand in ``coevolve summary RUN --json``; here they are added up over the runs.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from coevolve.commands.markdown import markdown_table
from coevolve.curriculum.checks import CHECKS
from coevolve.methods.phases.pool_report import POOL
from coevolve.methods.reporting import at, iterations, number_at
from coevolve.monitor.summary import summarise


def counted(folders: Sequence[Path]) -> dict[str, Counter[str]]:
    """By ``kept, iteration t`` and by check: labels that are known and right, known, and all."""
    found: dict[str, Counter[str]] = {}
    for folder in folders:
        for row in iterations(summarise(folder)):
            pool, t = at(row, POOL), at(row, "iteration")
            if not pool:
                continue
            known = number_at(pool, "label_known_kept") or 0
            mine = found.setdefault(f"kept, iteration {t}", Counter())
            mine.update(all=int(number_at(pool, "kept") or 0), known=int(known))
            mine.update(right=round(known * (number_at(pool, "label_accuracy_kept") or 0)))
            for check in CHECKS:
                for side in ("passing", "failing"):
                    known = number_at(pool, "checks", check, f"known_{side}") or 0
                    mine = found.setdefault(f"{check}, {side}", Counter())
                    mine.update(all=int(number_at(pool, "checks", check, side) or 0), known=int(known))
                    mine.update(right=round(known * (number_at(pool, "checks", check, f"right_{side}") or 0)))
    return found


def _cell(counts: Counter[str]) -> str:
    known = counts["known"]
    return f"{counts['right']} of {known} ({100 * counts['right'] / known:.0f} %)" if known else "none known"


def _tables(found: dict[str, Counter[str]]) -> str:
    kept = [(name, counts) for name, counts in found.items() if name.startswith("kept")]
    first = [["pool", "kept", "true, of those that can be checked"]]
    first += [[name.removeprefix("kept, "), str(counts["all"]), _cell(counts)] for name, counts in kept]
    second = [["check", "passed", "true where passed", "failed", "true where failed"]]
    for check in CHECKS:
        passing, failing = (found.get(f"{check}, {side}", Counter()) for side in ("passing", "failing"))
        second.append([f"`{check}`", str(passing["all"]), _cell(passing), str(failing["all"]), _cell(failing)])
    return f"{markdown_table(first)}\n\n{markdown_table(second)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--json", action="store_true", help="print counts instead of tables")
    arguments = parser.parse_args()
    found = counted(arguments.runs)
    print(json.dumps(found) if arguments.json else _tables(found))


if __name__ == "__main__":
    main()
