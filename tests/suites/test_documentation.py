"""The page about suites says what the table of benchmarks and the reader of files say."""

from __future__ import annotations

import re
from pathlib import Path

from coevolve.grading.grade import Kind
from coevolve.suites.catalogue import BENCHMARKS, Benchmark, Copy
from coevolve.suites.files import COLUMNS
from coevolve.suites.layouts import LAYOUTS
from coevolve.suites.rows import ENDINGS

PAGE = (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")
HEAD = "| name | set | rows | kind | answers | licence | copies on the hub, in order | also called |"


def _copy(copy: Copy) -> str:
    commit = f"@{copy.revision[:7]}" if copy.revision != "main" else ""
    return f"`{copy.repo}`{commit} {f'{copy.config}/' if copy.config else ''}{copy.split}"


def _line(benchmark: Benchmark) -> str:
    kind = LAYOUTS[benchmark.copies[0].layout].kind
    cells = [
        f"`{benchmark.name}`",
        benchmark.title + ("" if benchmark.of_the_papers else " (extra)"),
        f"{benchmark.rows:,}",
        kind.value,
        "✓" if benchmark.answers else "",
        benchmark.licence,
        "; ".join(map(_copy, benchmark.copies)),
        ", ".join(f"`{name}`" for name in benchmark.other_names),
    ]
    return f"| {' | '.join(cells)} |"


def test_the_table_of_benchmarks_is_that_of_the_code() -> None:
    table = "\n".join([HEAD, "|---|---|---|---|---|---|---|---|", *map(_line, BENCHMARKS)])
    shown = PAGE.partition("<!-- benchmarks -->")[2].partition("<!-- /benchmarks -->")[0].strip()
    assert shown == table


def test_the_table_of_columns_is_that_of_the_reader() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*)\|", PAGE, re.MULTILINE)
    shown = {column: (column, *re.findall(r"`(\w+)`", names)) for column, names in rows if column in COLUMNS}
    assert shown == COLUMNS


def test_the_page_names_every_kind_and_every_ending() -> None:
    assert all(f"`{kind.value}`" in PAGE for kind in Kind)
    assert all(f"`{ending}`" in PAGE for ending in ENDINGS)
